/** Fuzz: values of headers that mean something to us: timeouts, statuses, messages, content types, binary ones. */
import assert from "node:assert/strict";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { ConnectError } from "@connectrpc/connect";
import { parseContentType } from "../../../src/wire/content-type.ts";
import { parseEncodings } from "../../../src/wire/encoding.ts";
import { decodeMessage, encodeMessage } from "../../../src/wire/message.ts";
import { encodeBinary } from "../../../src/wire/metadata.ts";
import { decodeStatus, encodeStatus } from "../../../src/wire/rpc-status.ts";
import { parseStatus } from "../../../src/wire/status.ts";
import {
  formatConnectTimeout,
  formatGrpcTimeout,
  parseConnectTimeout,
  parseGrpcTimeout,
} from "../../../src/wire/timeout.ts";
import { binary } from "../input.ts";

export function fuzz(data: Uint8Array): void {
  const value = binary(data);
  checkTimeouts(value);
  checkMessage(data, value);
  checkContentType(value);
  const status = parseStatus(value);
  assert(Number.isInteger(status) && status >= 0);
  for (const name of parseEncodings(value)) assert(name !== "" && name === name.toLowerCase() && !/[,;]/.test(name));
  const bytes = Buffer.from(data);
  assert.deepEqual(base64Decode(encodeBinary(bytes)), new Uint8Array(bytes));
  checkDetails(new Uint8Array(data));
}

function checkTimeouts(value: string): void {
  const grpc = orUndefined(() => parseGrpcTimeout(value));
  assert.equal(grpc !== undefined, /^\d{1,8}[HMSmun]$/.test(value));
  const connect = orUndefined(() => parseConnectTimeout(value));
  assert.equal(connect !== undefined, /^\d{1,10}$/.test(value));
  for (const ms of [grpc, connect]) {
    if (ms === undefined) continue;
    const again = parseGrpcTimeout(formatGrpcTimeout(ms))!;
    assert(again <= Math.max(ms, 1e-6) * (1 + 1e-12), `${again} of ${ms}`); // never more time than was given
    assert(again > ms * 0.99 - 1e-6, `${again} of ${ms}`);
    assert(parseConnectTimeout(formatConnectTimeout(ms))! <= Math.max(ms, 1));
  }
}

/** @throws what isn't a `ConnectError` */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
    return undefined;
  }
}

function checkMessage(data: Uint8Array, value: string): void {
  decodeMessage(value);
  const utf16 = new TextDecoder("utf-16le", { ignoreBOM: true }).decode(data);
  for (const text of [value, utf16, new TextDecoder("utf-8", { ignoreBOM: true }).decode(data), lone(data)]) {
    const encoded = encodeMessage(text);
    assert(/^(?:[!-~](?:[ -~]*[!-~])?)?$/.test(encoded), encoded);
    assert.equal(decodeMessage(encoded), Buffer.from(text).toString());
  }
}

/** Also surrogates without their other half. */
function lone(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at + 1 < data.length; at += 2) text += String.fromCharCode(data[at]! | (data[at + 1]! << 8));
  return text;
}

function checkContentType(value: string): void {
  const type = parseContentType(value);
  if (type === undefined) return;
  assert(/^\s*application\//i.test(value), value);
  assert(type.codec !== "" && !type.codec.includes(";"), type.codec);
}

function checkDetails(bytes: Uint8Array): void {
  let status: ReturnType<typeof decodeStatus>;
  try {
    status = decodeStatus(bytes);
  } catch (error) {
    assert(error instanceof Error);
    return;
  }
  assert.deepEqual(decodeStatus(encodeStatus(status)), status);
}
