/** Fuzz: Connect's GET: the query of a path, beside `URLSearchParams` where both mean the same. */
import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";
import { messageOfGet, parseConnectGet } from "../../../src/wire/connect-get.ts";
import { detectProtocol } from "../../../src/wire/detect.ts";
import { binary } from "../input.ts";

export function fuzz(data: Uint8Array): void {
  const query = binary(data);
  const get = parseConnectGet(query);
  checkRoundTrip(Buffer.from(data));
  if (/^(?!\?)[!-~]*$/.test(query)) {
    const ascii = query.replace(/%[89a-fA-F][0-9a-fA-F]/g, "_");
    const [ours, theirs] = [parseConnectGet(ascii), new URLSearchParams(ascii)];
    assert.equal(ours !== undefined, theirs.get("connect") === "v1");
    assert(ours === undefined || ours.message === (theirs.get("message") ?? undefined));
    assert(ours === undefined || ours.encoding === (theirs.get("encoding") ?? ""));
  }
  const detected = detectProtocol({ method: "GET", contentType: undefined, query, connectProtocolVersion: undefined });
  if (get === undefined) return assert.equal(detected.framing, undefined);
  try {
    const message = messageOfGet(get);
    assert(message.length <= query.length);
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
  }
}

function checkRoundTrip(message: Buffer): void {
  const percent = Array.from(message, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  for (const query of [
    `connect=v1&encoding=proto&message=${percent}`,
    `connect=v1&encoding=proto&base64=1&message=${message.toString("base64url")}`,
    `base64=1&message=${encodeURIComponent(message.toString("base64"))}&encoding=proto&connect=v1`,
  ]) {
    const get = parseConnectGet(query)!;
    assert.equal(get.encoding, "proto");
    assert.deepEqual(Buffer.from(messageOfGet(get)), message);
  }
}
