/** Fields to header blocks (RFC 7541 section 6). */
import { type Field, Indexing } from "../field.ts";
import { DynamicTable, initialTableSize } from "./dynamic-table.ts";
import { huffmanLength, writeHuffman } from "./huffman.ts";
import { writeLatin1 } from "./latin1.ts";
import { staticIndexByKey, staticIndexByName, staticLength } from "./static-table.ts";

/** The most that a field takes beside its name and value: three integers of up to 6 bytes, one with the first bits. */
const maxFieldOverhead = 18;

/** The most that two size updates take. */
const maxUpdates = 12;

/**
 * Names whose value is another one in nearly each call. Inserted, they would only drive out fields that do come again, and
 * cost each side an insertion and an eviction (nghttp2 leaves most of them out too).
 */
const unrepeatedNames = new Set([
  "age",
  "content-length",
  "date",
  "etag",
  "grpc-status-details-bin",
  "grpc-timeout",
  "connect-timeout-ms",
  "if-modified-since",
  "if-none-match",
  "location",
  "set-cookie",
  "traceparent",
  "x-request-id",
]);

/** Bytes of a literal that a field keeps, at most: as many as the decoder's memo takes. */
const maxKeptLiteral = 160;

const noBytes = new Uint8Array(0);

/** Bytes that a block with these fields can't exceed, for the room that `HpackEncoder.encode` needs. */
export function maxEncodedLength(fields: readonly Field[]): number {
  let length = maxUpdates;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    length += maxFieldOverhead + field.name.length + field.value.length;
  }
  return length;
}

/** One direction of a connection: blocks must be sent in the order in which they were encoded, and every one of them. */
export class HpackEncoder {
  readonly #maxTableSize: number;
  readonly #table: DynamicTable;
  /** The number in the table of each field in it by its key, and the latest of each name. */
  readonly #numberByKey = new Map<string, number>();
  readonly #numberByName = new Map<string, number>();

  #peerTableSize = initialTableSize;
  #updateDue: boolean;
  /** The size that the last block left the peer with. */
  #announcedSize = initialTableSize;
  /** The lowest size set since then, which the peer must hear of too (RFC 7541 section 4.2). */
  #smallestSize = Number.POSITIVE_INFINITY;

  // The block that is being written.
  #out: Uint8Array = noBytes;
  #pos = 0;

  /** @param options.maxTableSize bytes of the dynamic table at most, however much the peer would allow */
  constructor(options: { readonly maxTableSize: number }) {
    this.#maxTableSize = options.maxTableSize;
    const size = Math.min(options.maxTableSize, initialTableSize);
    this.#updateDue = size < initialTableSize;
    this.#table = new DynamicTable(size, (field, number) => this.#forget(field, number));
  }

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE into force: to be called before its SETTINGS are acknowledged. */
  setPeerTableSize(bytes: number): void {
    const size = Math.min(bytes, this.#maxTableSize);
    // A limit that goes down must be answered even where the table was smaller all along (RFC 9113 section 4.3.1).
    if (size !== this.#table.capacity || bytes < this.#peerTableSize) this.#updateDue = true;
    this.#peerTableSize = bytes;
    this.#smallestSize = Math.min(this.#smallestSize, size);
    this.#table.capacity = size;
  }

  /**
   * Writes one block with these fields to `out` from `offset` on, where there must be room for `maxEncodedLength(fields)`
   * bytes, and returns the offset after it. Each field is represented as its `indexing` says; an incremental one that is
   * in a table is an index, and one that is large or never comes twice is written without indexing.
   */
  encode(fields: readonly Field[], out: Uint8Array, offset: number): number {
    this.#out = out;
    this.#pos = offset;
    if (this.#updateDue) this.#writeSizeUpdates();
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      const index = field.indexing === Indexing.incremental ? this.#indexOf(field) : 0;
      if (index > 0) this.#writeInteger(0x80, 0x7f, index);
      else if (field.indexing === Indexing.without) this.#writeRepeatable(field);
      else this.#writeLiteral(field);
    }
    this.#out = noBytes;
    return this.#pos;
  }

  #writeSizeUpdates(): void {
    const { capacity } = this.#table;
    if (this.#smallestSize < Math.min(capacity, this.#announcedSize)) {
      if (this.#table.length > 0) {
        // Go's decoder (x/net/http2/hpack) refuses the second update of a block unless the first has left nothing.
        this.#table.capacity = this.#smallestSize = 0;
        this.#table.capacity = capacity;
      }
      this.#writeInteger(0x20, 0x1f, this.#smallestSize);
    }
    this.#writeInteger(0x20, 0x1f, capacity);
    this.#announcedSize = capacity;
    this.#smallestSize = Number.POSITIVE_INFINITY;
    this.#updateDue = false;
  }

  /** The index of a field that is in a table, or 0. */
  #indexOf(field: Field): number {
    const number = this.#numberByKey.get(field.key);
    return number === undefined ? (staticIndexByKey.get(field.key) ?? 0) : this.#indexOfNumber(number);
  }

  #indexOfNumber(number: number): number {
    return staticLength + this.#table.inserted - number;
  }

  /**
   * A literal without indexing, which is the same bytes each time if its name is in the static table. The decoder gives the
   * same field for a literal that is repeated, so that the second time already its bytes are worth keeping.
   */
  #writeRepeatable(field: Field): void {
    const { literal } = field;
    if (literal !== undefined && literal.length > 0) {
      this.#out.set(literal, this.#pos);
      this.#pos += literal.length;
      return;
    }
    const start = this.#pos;
    this.#writeLiteral(field);
    if (this.#pos - start > maxKeptLiteral || !staticIndexByName.has(field.name)) return;
    field.literal = literal === undefined ? noBytes : new Uint8Array(this.#out.subarray(start, this.#pos));
  }

  #writeLiteral(field: Field): void {
    let nameIndex = staticIndexByName.get(field.name);
    if (nameIndex === undefined) {
      const number = this.#numberByName.get(field.name);
      nameIndex = number === undefined ? 0 : this.#indexOfNumber(number);
    }
    if (field.indexing === Indexing.never) this.#writeInteger(0x10, 0x0f, nameIndex);
    else if (this.#isWorthInserting(field)) {
      this.#writeInteger(0x40, 0x3f, nameIndex);
      this.#insert(field);
    } else this.#writeInteger(0x00, 0x0f, nameIndex);
    if (nameIndex === 0) this.#writeString(field.name);
    this.#writeString(field.value);
  }

  #isWorthInserting(field: Field): boolean {
    if (field.indexing !== Indexing.incremental || unrepeatedNames.has(field.name)) return false;
    return field.size <= this.#table.capacity * 0.75; // a larger one would drive out nearly all others
  }

  #insert(field: Field): void {
    this.#table.insert(field);
    const number = this.#table.inserted - 1;
    this.#numberByKey.set(field.key, number);
    this.#numberByName.set(field.name, number);
  }

  #forget(field: Field, number: number): void {
    this.#numberByKey.delete(field.key);
    if (this.#numberByName.get(field.name) === number) this.#numberByName.delete(field.name);
  }

  /** In the Huffman code where that is shorter. */
  #writeString(text: string): void {
    const start = this.#pos;
    if (text.length < 0x7f) {
      // What is shorter than that has a length of one byte, which can be left out and filled in.
      const end = writeHuffman(text, this.#out, start + 1);
      if (end >= 0) {
        this.#out[start] = 0x80 | (end - start - 1);
        this.#pos = end;
        return;
      }
    } else {
      const length = huffmanLength(text);
      if (length < text.length) {
        this.#writeInteger(0x80, 0x7f, length);
        this.#pos = writeHuffman(text, this.#out, this.#pos);
        return;
      }
    }
    this.#writeInteger(0x00, 0x7f, text.length);
    this.#pos = writeLatin1(text, this.#out, this.#pos);
  }

  /**
   * @param first the bits of the first byte that don't belong to the integer
   * @param prefix the mask of those that do
   */
  #writeInteger(first: number, prefix: number, value: number): void {
    if (value < prefix) {
      this.#out[this.#pos++] = first | value;
      return;
    }
    this.#out[this.#pos++] = first | prefix;
    let rest = value - prefix;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#out[this.#pos++] = (rest & 0x7f) | 0x80;
    this.#out[this.#pos++] = rest;
  }
}
