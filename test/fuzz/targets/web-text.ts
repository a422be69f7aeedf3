/** Fuzz: the base64 of gRPC-Web's text form, beside that of the runtime. */
import assert from "node:assert/strict";
import { Base64Decoder, Base64Encoder } from "../../../src/wire/base64-stream.ts";
import { binary, Input, pieces } from "../input.ts";

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const [how, mode] = [input.byte(), input.byte()];
  const body = input.rest();
  if (mode % 2 === 0) checkDecoder(body, how);
  else checkEncoder(body, how, mode >>> 1);
}

/** undefined where it was found bad. */
function decode(body: Buffer, how: number): { bytes: Buffer; whole: boolean } | undefined {
  const decoder = new Base64Decoder();
  const parts: Uint8Array[] = [];
  let bad = false;
  for (const piece of pieces(body, how)) {
    const part = decoder.push(piece, 0, piece.length);
    assert(!bad || part === undefined, "what is bad stays so");
    if (part === undefined) bad = true;
    else parts.push(part);
  }
  assert(!bad || !decoder.end());
  return bad ? undefined : { bytes: Buffer.concat(parts), whole: decoder.end() };
}

function checkDecoder(body: Buffer, how: number): void {
  const cut = decode(body, how);
  assert.deepEqual(cut, decode(body, 0));
  const text = binary(body).replace(/[\r\n]/g, "");
  // groups of four, of which each may be padded; what is behind the last is the begin of another
  const right = /^(?:[\w+/]{4}|[\w+/]{3}=|[\w+/]{2}==)*([\w+/]{0,3}|[\w+/]{2}=)$/.exec(text);
  assert.equal(cut !== undefined, right !== null && !text.includes("_"));
  if (cut === undefined) return;
  const groups = text.slice(0, text.length - (text.length % 4)).match(/.{4}/g) ?? [];
  assert.deepEqual(cut.bytes, Buffer.concat(groups.map((group) => Buffer.from(group, "base64"))));
  assert.equal(cut.whole, text.length % 4 === 0);
}

function checkEncoder(body: Buffer, how: number, flushes: number): void {
  const encoder = new Base64Encoder();
  const parts = pieces(body, how).map((piece, at) =>
    encoder.push(piece, 0, piece.length, ((flushes >>> (at % 7)) & 1) === 1),
  );
  const text = Buffer.concat([...parts, encoder.push(body, 0, 0, true)]);
  if (flushes % 128 === 0) assert.equal(text.toString("latin1"), body.toString("base64"));
  assert.deepEqual(decode(text, how), { bytes: Buffer.from(body), whole: true });
}
