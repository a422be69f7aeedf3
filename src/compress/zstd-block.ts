/** Blocks of Zstandard: literals, and sequences of literals and copies (RFC 8878 section 3.1.1.3). */
import type { LimitedOutput } from "./limited-output.ts";
import {
  BackwardBits,
  type FseTable,
  fseTable,
  type HuffmanTable,
  little,
  readFseTable,
  readHuffman,
  readHuffmanTable,
  singleTable,
} from "./zstd-bits.ts";

/** Bytes that a block may become. */
export const maxBlock = 128 << 10;

/** Section 3.1.1.3.2.1.1: the values of codes, in which `from` codes have one value each, and the bits that the others add. */
function codes(first: number, plain: number, extra: readonly number[]): { bases: number[]; bits: number[] } {
  const bits = [...new Array<number>(plain).fill(0), ...extra];
  const bases: number[] = [];
  for (const at of bits.keys()) bases.push(at === 0 ? first : bases[at - 1]! + 2 ** bits[at - 1]!);
  return { bits, bases };
}

const literalCodes = codes(0, 16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const matchCodes = codes(3, 32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/** Section 3.1.1.3.2.2, in runs: so many symbols of such a count. */
function defaultTable(log: number, runs: readonly (readonly [symbols: number, count: number])[]): FseTable {
  return fseTable(
    runs.flatMap(([symbols, count]) => new Array<number>(symbols).fill(count)),
    log,
  );
}

type Kind = "literals" | "offsets" | "matches";

const kinds: Record<Kind, { default: FseTable; maxLog: number; maxCode: number }> = {
  literals: {
    default: defaultTable(6, [
      [1, 4],
      [1, 3],
      [11, 2],
      [3, 1],
      [9, 2],
      [1, 3],
      [1, 2],
      [5, 1],
      [4, -1],
    ]),
    maxLog: 9,
    maxCode: 35,
  },
  offsets: {
    default: defaultTable(5, [
      [6, 1],
      [3, 2],
      [15, 1],
      [5, -1],
    ]),
    maxLog: 8,
    maxCode: 31,
  },
  matches: {
    default: defaultTable(6, [
      [1, 1],
      [1, 4],
      [1, 3],
      [6, 2],
      [37, 1],
      [7, -1],
    ]),
    maxLog: 9,
    maxCode: 52,
  },
};

/** Compressed blocks of a frame, with what one passes on to the next. */
export class BlockDecoder {
  readonly #out: LimitedOutput;
  #huffman: HuffmanTable | undefined;
  readonly #tables: Partial<Record<Kind, FseTable>> = {};
  /** The last three distances. */
  #recent = [1, 4, 8];
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(out: LimitedOutput) {
    this.#out = out;
  }

  read(block: Uint8Array): void {
    this.#block = block;
    this.#at = 0;
    const start = this.#out.length;
    const literals = this.#readLiterals();
    this.#readSequences(literals);
    if (this.#out.length - start > maxBlock) throw new Error("a block that becomes more than 128 KiB");
  }

  #next(count: number): number {
    const value = little(this.#block, this.#at, count);
    this.#at += count;
    return value;
  }

  #bytes(count: number): Uint8Array {
    this.#at += count;
    if (this.#at > this.#block.length) throw new Error("cut off in a block");
    return this.#block.subarray(this.#at - count, this.#at);
  }

  /** Section 3.1.1.3.1 */
  #readLiterals(): Uint8Array {
    const type = this.#block[0]! & 3;
    const format = (this.#block[0]! >> 2) & 3;
    if (type < 2) {
      const size = format === 1 ? this.#next(2) >> 4 : format === 3 ? this.#next(3) >> 4 : this.#next(1) >> 3;
      if (size > maxBlock) throw new Error("too many literals");
      return type === 0 ? this.#bytes(size) : new Uint8Array(size).fill(this.#next(1));
    }
    const width = [10, 10, 14, 18][format]!;
    const head = Math.floor(this.#next([3, 3, 4, 5][format]!) / 16);
    const size = head % 2 ** width;
    if (size > maxBlock) throw new Error("too many literals");
    let bytes = this.#bytes(Math.floor(head / 2 ** width));
    if (type === 2) {
      const { table, length } = readHuffmanTable(bytes);
      this.#huffman = table;
      bytes = bytes.subarray(length);
    }
    if (this.#huffman === undefined) throw new Error("literals in no Huffman code");
    return readStreams(bytes, this.#huffman, { size, streams: format === 0 ? 1 : 4 });
  }

  /** Section 3.1.1.3.2 */
  #readSequences(literals: Uint8Array): void {
    let count = this.#next(1);
    if (count === 255) count = this.#next(2) + 0x7f00;
    else if (count >= 128) count = (count - 128) * 256 + this.#next(1);
    let at = 0;
    if (count > 0) at = this.#execute(literals, count);
    else if (this.#at !== this.#block.length) throw new Error("bytes behind a block");
    this.#out.append(literals.subarray(at));
  }

  /** @returns the literals that were used */
  #execute(literals: Uint8Array, count: number): number {
    const modes = this.#next(1);
    if ((modes & 3) !== 0) throw new Error("reserved bits of a block are set");
    const [l, o, m] = [
      this.#table("literals", modes >> 6),
      this.#table("offsets", modes >> 4),
      this.#table("matches", modes >> 2),
    ];
    const bits = new BackwardBits(this.#block.subarray(this.#at));
    let [literal, offset, match] = [bits.read(l.log), bits.read(o.log), bits.read(m.log)];
    let at = 0;
    for (let left = count; left > 0; left--) {
      const width = o.symbols[offset]!;
      const distance = 2 ** width + bits.read(width);
      const [matchCode, literalCode] = [m.symbols[match]!, l.symbols[literal]!];
      const length = matchCodes.bases[matchCode]! + bits.read(matchCodes.bits[matchCode]!);
      const plain = literalCodes.bases[literalCode]! + bits.read(literalCodes.bits[literalCode]!);
      if (at + plain > literals.length) throw new Error("too few literals");
      this.#out.append(literals.subarray(at, at + plain));
      at += plain;
      this.#out.copy(this.#distance(distance, plain), length);
      if (left === 1) break;
      literal = l.bases[literal]! + bits.read(l.bits[literal]!);
      match = m.bases[match]! + bits.read(m.bits[match]!);
      offset = o.bases[offset]! + bits.read(o.bits[offset]!);
      if (bits.left < 0) throw new Error("cut off in its sequences");
    }
    if (bits.left !== 0) throw new Error("sequences that don't end where they should");
    return at;
  }

  #table(kind: Kind, mode: number): FseTable {
    const { default: usual, maxLog, maxCode } = kinds[kind];
    const table = this.#described(mode & 3, kind, usual, { maxLog, maxCode });
    this.#tables[kind] = table;
    return table;
  }

  #described(
    mode: number,
    kind: Kind,
    usual: FseTable,
    { maxLog, maxCode }: { maxLog: number; maxCode: number },
  ): FseTable {
    if (mode === 0) return usual;
    if (mode === 1) {
      const symbol = this.#next(1);
      if (symbol > maxCode) throw new Error(`code ${symbol}`);
      return singleTable(symbol);
    }
    if (mode === 2) {
      const { table, length } = readFseTable(this.#block.subarray(this.#at), maxLog, maxCode);
      this.#at += length;
      return table;
    }
    const table = this.#tables[kind];
    if (table === undefined) throw new Error("no table to be used again");
    return table;
  }

  /** Section 3.1.1.5: the first three values are those of before. */
  #distance(value: number, literals: number): number {
    const [first, second, third] = this.#recent as [number, number, number];
    if (value > 3) {
      this.#recent = [value - 3, first, second];
      return value - 3;
    }
    const which = value - 1 + (literals === 0 ? 1 : 0);
    const distance = [first, second, third, first - 1][which]!;
    if (which === 1) this.#recent = [second, first, third];
    else if (which > 1) this.#recent = [distance, first, second];
    return distance;
  }
}

/** Section 3.1.1.3.1.6: four streams decode apart from each other, so that a processor can do so at the same time. */
function readStreams(
  bytes: Uint8Array,
  table: HuffmanTable,
  { size, streams }: { size: number; streams: 1 | 4 },
): Uint8Array {
  const out = new Uint8Array(size);
  if (streams === 1) {
    readHuffman(bytes, table, out);
    return out;
  }
  const each = Math.ceil(size / 4);
  let at = 6;
  for (let stream = 0; stream < 4; stream++) {
    const end = stream === 3 ? bytes.length : at + little(bytes, 2 * stream, 2);
    if (end > bytes.length || at > end) throw new Error("cut off in a stream");
    readHuffman(
      bytes.subarray(at, end),
      table,
      out.subarray(Math.min(size, stream * each), Math.min(size, (stream + 1) * each)),
    );
    at = end;
  }
  return out;
}
