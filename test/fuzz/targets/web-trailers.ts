/** Fuzz: gRPC-Web's trailers: what is read can stand in a header, and is read alike when it has been written again. */
import assert from "node:assert/strict";
import { Field, FieldKind } from "../../../src/http2/field.ts";
import { statusOfFields } from "../../../src/wire/rpc-status.ts";
import { encodeWebTrailers, parseWebTrailers } from "../../../src/wire/web-trailers.ts";
import { binary } from "../input.ts";

export function fuzz(data: Uint8Array): void {
  const fields = parseWebTrailers(data);
  checkWriting(data);
  if (fields === undefined) return;
  for (const { name, value, kind } of fields) {
    assert.equal(kind, FieldKind.regular);
    assert(!/[\0\r\n]/.test(name + value));
    assert.equal(name, name.toLowerCase());
  }
  const status = statusOfFields(fields);
  if (status !== undefined) assert(Number.isInteger(status.code) && status.code >= 0);
  assert.deepEqual(pairs(parseWebTrailers(encodeWebTrailers(fields))!), pairs(fields));
  assert(binary(data).split("\n").length >= fields.length);
}

/** Whatever a value is, it makes no line of its own. */
function checkWriting(data: Uint8Array): void {
  const text = binary(data);
  const at = text.indexOf(":");
  const fields = [
    new Field("x-first", "1"),
    new Field(text.slice(0, Math.max(at, 0)), text.slice(at + 1)),
    new Field("x-last", "2"),
  ];
  const read = parseWebTrailers(encodeWebTrailers(fields));
  assert(read !== undefined);
  const written = fields.filter(({ kind }) => kind === FieldKind.regular);
  assert.deepEqual(
    read.map(({ name }) => name),
    written.map(({ name }) => name),
  );
}

function pairs(fields: readonly Field[]): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`);
}
