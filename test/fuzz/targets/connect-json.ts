/** Fuzz: Connect's ends of streams and errors, which are JSON of the peer: each has a status, and is the same when written again. */
import assert from "node:assert/strict";
import { type Field, FieldKind, valueOf } from "../../../src/http2/field.ts";
import { encodeConnectEnd, parseConnectEnd } from "../../../src/wire/connect-end.ts";
import { encodeConnectError, parseConnectError } from "../../../src/wire/connect-error.ts";
import { fieldsOfStatus, statusOfFields } from "../../../src/wire/rpc-status.ts";
import { Input } from "../input.ts";

const https = [200, 400, 401, 404, 429, 500, 503];

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const http = https[input.byte() % https.length]!;
  const payload = input.rest();
  checkEnd(payload);
  checkError(payload, http);
}

function checkEnd(payload: Buffer): void {
  const fields = parseConnectEnd(payload);
  assert.equal(fields[0]!.name, "grpc-status");
  assert.equal(fields.filter(({ name }) => name === "grpc-status").length, 1);
  for (const { name, value, kind } of fields) {
    assert.equal(kind, FieldKind.regular, `${name}: ${value}`);
    assert(/^[\0-\xff]*$/.test(value), "bytes only");
  }
  const again = parseConnectEnd(encodeConnectEnd(fields));
  assert.deepEqual(statusOfFields(again), statusOfFields(fields));
  assert.deepEqual(grouped(again), grouped(fields));
}

/** Values by name: those of one name stay in their order, but names may change places. */
function grouped(fields: readonly Field[]): string[] {
  const metadata = fields.filter(({ name }) => !name.startsWith("grpc-"));
  return [...new Set(metadata.map(({ name }) => name))]
    .sort()
    .map((name) =>
      JSON.stringify([name, ...metadata.filter((field) => field.name === name).map(({ value }) => value)]),
    );
}

function checkError(body: Buffer, http: number): void {
  const status = parseConnectError(body, http);
  assert(status.code >= 1 && status.code <= 16, `code ${status.code}`);
  assert.deepEqual(parseConnectError(encodeConnectError(status), http), status);
  const fields = fieldsOfStatus(status);
  assert.equal(valueOf(fields, "grpc-status"), String(status.code));
  for (const { value } of fields) assert(/^[ -~]*$/.test(value));
  const back = statusOfFields(fields);
  assert.deepEqual([back?.code, back?.message], [status.code, Buffer.from(status.message).toString()]);
}
