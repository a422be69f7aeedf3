/** Fuzz: HPACK: blocks of one connection, beside a decoder that shares no code with ours, and written again by our encoder. */
import assert from "node:assert/strict";
import { ConnectionError, ErrorCode } from "../../../src/http2/errors.ts";
import type { Field } from "../../../src/http2/field.ts";
import { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { HpackEncoder, maxEncodedLength } from "../../../src/http2/hpack/encoder.ts";
import { HpackDecoder as OtherDecoder } from "../../support/hpack.ts";
import { Input } from "../input.ts";

const wide = { maxTableSize: 4096, maxListSize: 1 << 30, maxFields: 1 << 30 };

/** The encoder's table, the limits of the decoder, and then blocks with their lengths before them. */
export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const limits = { maxTableSize: 4096, maxListSize: 64 + input.byte() * 8, maxFields: 1 + (input.byte() % 16) };
  const decoders = [new HpackDecoder(wide), new HpackDecoder(limits)] as const;
  const other = new OtherDecoder();
  const tableSize = input.byte() * 16;
  const encoder = new HpackEncoder({ maxTableSize: 4096 });
  const reader = new HpackDecoder(wide);
  encoder.setPeerTableSize(tableSize);
  let isFirst = true;
  while (!input.done) {
    const length = input.byte();
    if (length === 0xff) {
      encoder.setPeerTableSize(input.byte() * 16);
      continue;
    }
    const block = input.take(length);
    if (isFirst) checkExactLimits(block);
    isFirst = false;
    const [fields, limited] = decoders.map((decoder) => decode(decoder, block));
    assert.equal(limited === "invalid", fields === "invalid");
    if (fields === "invalid" || fields === undefined || limited === "invalid") return;
    checkLimits(fields, limited, limits);
    assert.deepEqual(other.decode(block), pairs(fields));
    const out = Buffer.alloc(maxEncodedLength(fields));
    const written = out.subarray(0, encoder.encode(fields, out, 0));
    const again = decode(reader, written);
    assert(Array.isArray(again));
    assert.deepEqual(pairs(again), pairs(fields));
    assert.deepEqual(again.filter(isNever).length, fields.filter(isNever).length);
  }
}

function decode(decoder: HpackDecoder, block: Buffer): Field[] | undefined | "invalid" {
  const bytes = new Uint8Array(block);
  try {
    return decoder.decode(bytes, 0, bytes.length);
  } catch (error) {
    assert(error instanceof ConnectionError && error.code === ErrorCode.compressionError, String(error));
    return "invalid";
  } finally {
    bytes.fill(0x58); // nothing may be kept of it
  }
}

/** At its limits a list is taken, and beyond each it isn't. */
function checkExactLimits(block: Buffer): void {
  const fields = decode(new HpackDecoder(wide), block);
  if (!Array.isArray(fields) || fields.length === 0) return;
  const maxListSize = fields.reduce((sum, { name, value }) => sum + name.length + value.length + 32, 0);
  const maxFields = fields.length;
  const within = (limits: object) => decode(new HpackDecoder({ ...wide, maxListSize, maxFields, ...limits }), block);
  assert(within({}) !== undefined);
  assert.equal(within({ maxListSize: maxListSize - 1 }), undefined);
  assert.equal(within({ maxFields: maxFields - 1 }), undefined);
}

function checkLimits(fields: Field[], limited: Field[] | undefined, limits: typeof wide): void {
  const size = fields.reduce((sum, field) => sum + field.name.length + field.value.length + 32, 0);
  const fits = size <= limits.maxListSize && fields.length <= limits.maxFields;
  assert.deepEqual(limited === undefined ? undefined : pairs(limited), fits ? pairs(fields) : undefined);
}

function pairs(fields: readonly Field[]): string[][] {
  return fields.map(({ name, value }) => [name, value]);
}

function isNever({ indexing }: Field): boolean {
  return indexing === 2;
}
