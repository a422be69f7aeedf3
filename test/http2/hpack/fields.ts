/** Fields, blocks and lists for the tests of HPACK. */
import fc from "fast-check";
import { Field, Indexing } from "../../../src/http2/field.ts";
import type { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { type HpackEncoder, maxEncodedLength } from "../../../src/http2/hpack/encoder.ts";

/** A block with the fields, checked for the room that `maxEncodedLength` promises and for bytes beyond it. */
export function encode(encoder: HpackEncoder, fields: readonly Field[]): Uint8Array {
  const out = new Uint8Array(maxEncodedLength(fields) + 8).fill(0xaa);
  const end = encoder.encode(fields, out, 4);
  if (end > out.length - 4) throw new Error(`block ends at ${end}, beyond the ${out.length - 4} it was given`);
  if (out[3] !== 0xaa || out.subarray(end).some((byte) => byte !== 0xaa)) throw new Error("wrote outside of the block");
  return out.slice(4, end);
}

export function decode(decoder: HpackDecoder, block: Uint8Array): Field[] | undefined {
  return decoder.decode(block, 0, block.length);
}

export function decodeHex(decoder: HpackDecoder, hex: string): Field[] | undefined {
  return decode(decoder, Buffer.from(hex, "hex"));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** `name: value` and how it was represented. */
export function linesOf(fields: readonly Field[] | undefined): readonly string[] | undefined {
  const marks = { [Indexing.incremental]: "", [Indexing.without]: " (without)", [Indexing.never]: " (never)" };
  return fields?.map((field) => `${field.name}: ${field.value}${marks[field.indexing]}`);
}

/** Few names and values, so that they come again, and any others in between. */
const names = fc.oneof(
  fc.constantFrom(":path", ":method", ":status", "te", "content-type", "grpc-timeout", "x-a", "x-b", "cookie"),
  fc.uint8Array({ maxLength: 40 }).map(binary),
);
const values = fc.oneof(
  fc.constantFrom("", "POST", "200", "trailers", "application/grpc", "a", "b", "/s/M", "v".repeat(150)),
  fc.uint8Array({ maxLength: 200 }).map(binary),
  fc.string({ maxLength: 20, unit: "grapheme-ascii" }),
);

/** Any field, the invalid ones included: HPACK itself has no rules for names and values. */
export const anyField: fc.Arbitrary<Field> = fc
  .tuple(names, values, fc.constantFrom(Indexing.incremental, Indexing.incremental, Indexing.without, Indexing.never))
  .map(([name, value, indexing]) => new Field(name, value, indexing));

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
