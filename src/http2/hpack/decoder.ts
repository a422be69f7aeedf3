/** Header blocks to fields (RFC 7541 sections 3 and 6). */
import { ConnectionError, ErrorCode } from "../errors.ts";
import { Field, Indexing } from "../field.ts";
import { DynamicTable, initialTableSize } from "./dynamic-table.ts";
import { decodeHuffman } from "./huffman.ts";
import { latin1 } from "./latin1.ts";
import { LiteralMemo } from "./literal-memo.ts";
import { staticFields, staticLength } from "./static-table.ts";

/**
 * Bytes that an integer may take after its prefix: enough for any index, length or size that can be valid. What is read
 * stays below 2^36, and the checks of its meaning refuse what is too large.
 */
const maxContinuationBytes = 5;

const noBytes = new Uint8Array(0);

/** What a decoder takes. All three are meant to be announced or documented, as peers are cut off by them. */
export interface HpackDecoderOptions {
  /** Bytes of the dynamic table, as our first SETTINGS announces them. Until they are acknowledged 4,096 are taken too. */
  readonly maxTableSize: number;
  /** Bytes of one header list, each field counted with its overhead (`Field.size`). */
  readonly maxListSize: number;
  /** Fields of one header list. */
  readonly maxFields: number;
}

/** One direction of a connection: blocks must come in the order in which they were sent, and every one of them. */
export class HpackDecoder {
  readonly #maxListSize: number;
  readonly #maxFields: number;
  readonly #table = new DynamicTable(initialTableSize);
  #maxTableSize: number;
  /** The size that the next block must begin by going down to, as the peer has acknowledged it; infinite for none. */
  #requiredSize = Number.POSITIVE_INFINITY;

  #memo: LiteralMemo | undefined;

  // The block that is being read.
  #block: Uint8Array = noBytes;
  #pos = 0;
  #end = 0;

  constructor(options: HpackDecoderOptions) {
    this.#maxTableSize = Math.max(options.maxTableSize, initialTableSize);
    this.#maxListSize = options.maxListSize;
    this.#maxFields = options.maxFields;
  }

  /**
   * Takes a table size into force. To be called when the peer acknowledges the SETTINGS that announced it, the first one
   * too: if it is less than what the peer has used so far, its next block must begin with a size update (RFC 9113 section
   * 4.3.1).
   */
  setMaxTableSize(bytes: number): void {
    this.#maxTableSize = bytes;
    if (bytes < this.#table.capacity) this.#requiredSize = Math.min(this.#requiredSize, bytes);
  }

  /**
   * Decodes the whole block that stands in `block` from `start` to `end`. Nothing returned refers to its memory. A field
   * that is in a table is the same object each time.
   *
   * @returns the fields in order, or undefined if the list is larger than allowed: the block has been read to its end all
   *   the same, so that the next one can be
   * @throws ConnectionError compressionError if the block isn't valid; nothing may be decoded after that
   */
  decode(block: Uint8Array, start: number, end: number): Field[] | undefined {
    this.#block = block;
    this.#pos = start;
    this.#end = end;
    this.#readSizeUpdates();
    let fields: Field[] | undefined = [];
    let size = 0;
    while (this.#pos < end) {
      const field = this.#readField();
      if (fields === undefined) continue;
      size += field.size;
      if (size <= this.#maxListSize && fields.length < this.#maxFields) fields.push(field);
      else fields = undefined;
    }
    this.#block = noBytes;
    return fields;
  }

  #readSizeUpdates(): void {
    while (this.#pos < this.#end && this.#block[this.#pos]! >>> 5 === 1) {
      const size = this.#readInteger(0x1f);
      if (size > this.#maxTableSize) throw invalid(`table size update to ${size} above ${this.#maxTableSize}`);
      if (size <= this.#requiredSize) this.#requiredSize = Number.POSITIVE_INFINITY;
      this.#table.capacity = size;
    }
    if (this.#requiredSize !== Number.POSITIVE_INFINITY) {
      throw invalid(`no table size update to ${this.#requiredSize} or less where the block begins`);
    }
  }

  #readField(): Field {
    const first = this.#block[this.#pos]!;
    if (first >= 0x80) return this.#fieldAt(this.#readInteger(0x7f));
    if (first >= 0x40) {
      const field = this.#readLiteral(0x3f, Indexing.incremental);
      this.#table.insert(field);
      return field;
    }
    if (first >= 0x20) throw invalid("table size update after a field");
    return this.#readLiteral(0x0f, first >= 0x10 ? Indexing.never : Indexing.without);
  }

  #readLiteral(prefix: number, indexing: Indexing): Field {
    const start = this.#pos;
    const index = this.#readInteger(prefix);
    // A never indexed value is kept nowhere, and an index of the dynamic table means another name each time.
    if (indexing === Indexing.without && index > 0 && index <= staticLength) return this.#readRepeatable(start, index);
    const name = index === 0 ? this.#readString() : this.#fieldAt(index).name;
    return new Field(name, this.#readString(), indexing);
  }

  /** A literal that began at `start`, and of which the value is still to be read. */
  #readRepeatable(start: number, index: number): Field {
    this.#memo ??= new LiteralMemo();
    const valueLength = this.#pos < this.#end ? this.#block[this.#pos]! & 0x7f : 0;
    const end = this.#pos + 1 + valueLength;
    const isShort = valueLength < 0x7f && end <= this.#end; // in one byte, and all there
    const known = isShort ? this.#memo.find(this.#block, start, end) : undefined;
    if (known !== undefined) {
      this.#pos = end;
      return known;
    }
    const field = new Field(this.#fieldAt(index).name, this.#readString(), Indexing.without);
    if (isShort && this.#memo.isWanted) this.#memo.keep(field, new Uint8Array(this.#block.subarray(start, end)));
    return field;
  }

  #fieldAt(index: number): Field {
    const field = index <= staticLength ? staticFields[index] : this.#table.at(index - staticLength - 1);
    if (field === undefined) throw invalid(`index ${index} of ${staticLength + this.#table.length}`);
    return field;
  }

  #readString(): string {
    if (this.#pos === this.#end) throw invalid("block ends before a string");
    const isHuffman = this.#block[this.#pos]! >= 0x80;
    const length = this.#readInteger(0x7f);
    const start = this.#pos;
    if (length > this.#end - start) throw invalid(`string of ${length} bytes where the block has ${this.#end - start}`);
    this.#pos += length;
    if (!isHuffman) return latin1(this.#block, start, this.#pos);
    const text = decodeHuffman(this.#block, start, this.#pos);
    if (text === undefined) throw invalid(`string of ${length} bytes isn't in the Huffman code`);
    return text;
  }

  /** @param prefix the mask of the bits of the first byte, which is there, that belong to the integer */
  #readInteger(prefix: number): number {
    let value = this.#block[this.#pos++]! & prefix;
    if (value < prefix) return value;
    for (let shift = 0; shift < 7 * maxContinuationBytes; shift += 7) {
      if (this.#pos === this.#end) throw invalid("block ends within an integer");
      const byte = this.#block[this.#pos++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw invalid(`integer in more than ${maxContinuationBytes} bytes after its prefix`);
  }
}

function invalid(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `invalid header block: ${what}`);
}
