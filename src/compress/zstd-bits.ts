/** The entropy coders of Zstandard: bits read from the end, FSE tables and Huffman codes (RFC 8878 section 4). */

/** Reads bits from the last to the first. Behind the first there are zeros, and `left` is below 0. */
export class BackwardBits {
  /** Bits that are left. */
  left: number;
  readonly #bytes: Uint8Array;

  /** @throws Error where the last byte has no mark of the end */
  constructor(bytes: Uint8Array) {
    const last = bytes[bytes.length - 1];
    if (last === undefined || last === 0) throw new Error("no end of a bit stream");
    this.#bytes = bytes;
    this.left = 8 * bytes.length - 8 + highestBit(last);
  }

  read(count: number): number {
    this.left -= count;
    return this.at(this.left, count);
  }

  /** The bits from `start` on, which may be below 0. */
  at(start: number, count: number): number {
    if (start < 0) return start + count <= 0 ? 0 : this.at(0, start + count) * 2 ** -start;
    return bitsAt(this.#bytes, start, count);
  }
}

/** `count` bits from bit `start` on, little-endian; at most 32. */
function bitsAt(bytes: Uint8Array, start: number, count: number): number {
  if (count > 24) return bitsAt(bytes, start, 16) + bitsAt(bytes, start + 16, count - 16) * 65536;
  const from = start >>> 3;
  const word =
    (bytes[from] ?? 0) |
    ((bytes[from + 1] ?? 0) << 8) |
    ((bytes[from + 2] ?? 0) << 16) |
    ((bytes[from + 3] ?? 0) << 24);
  return (word >>> (start & 7)) & ((1 << count) - 1);
}

/** The number of the highest bit that is set. */
export function highestBit(value: number): number {
  return 31 - Math.clz32(value);
}

/** A decoding table: for each state a symbol, and how the next state comes about. */
export interface FseTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** A table of one symbol, which takes no bits. */
export function singleTable(symbol: number): FseTable {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: Uint8Array.of(0), bases: Uint16Array.of(0) };
}

/** Section 4.1.1. @param counts of each symbol; -1 for "less than one" */
export function fseTable(counts: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(counts.length);
  let high = size;
  counts.forEach((count, symbol) => {
    next[symbol] = Math.abs(count);
    if (count === -1) symbols[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  counts.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      symbols[position] = symbol;
      do position = (position + step) & (size - 1);
      while (position >= high);
    }
  });
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const value = next[symbols[state]!]!++;
    bits[state] = log - highestBit(value);
    bases[state] = (value << bits[state]!) - size;
  }
  return { log, symbols, bits, bases };
}

/** Reads the description of a table. @returns it, and the bytes that it took */
export function readFseTable(
  bytes: Uint8Array,
  maxLog: number,
  maxSymbol: number,
): { table: FseTable; length: number } {
  let at = 0;
  const read = (count: number) => {
    at += count;
    return bitsAt(bytes, at - count, count);
  };
  const log = 5 + read(4);
  if (log > maxLog) throw new Error(`a table of ${log} bits, at most ${maxLog}`);
  const counts: number[] = [];
  let remaining = 1 << log;
  while (remaining > 0) {
    const width = highestBit(remaining + 1) + 1;
    const low = (1 << (width - 1)) - 1;
    const spare = (1 << width) - 1 - (remaining + 1);
    let value = read(width);
    if ((value & low) < spare) {
      at--;
      value &= low;
    } else if (value > low) value -= spare;
    counts.push(value - 1);
    remaining -= Math.abs(value - 1);
    for (let more = value === 1 ? 3 : 0; more === 3; ) {
      more = read(2);
      for (let i = 0; i < more; i++) counts.push(0);
    }
    if (counts.length > maxSymbol + 1 || at > 8 * bytes.length) throw new Error("a table that isn't one");
  }
  if (remaining < 0) throw new Error("a table of too many states");
  return { table: fseTable(counts, log), length: Math.ceil(at / 8) };
}

/** A Huffman code: for each group of `log` bits its symbol, and how many of the bits are its. */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

const maxHuffmanLog = 11;

/** Section 4.2.1. @returns the table, and the bytes that its description took */
export function readHuffmanTable(bytes: Uint8Array): { table: HuffmanTable; length: number } {
  const head = bytes[0] ?? 0;
  const length = 1 + (head < 128 ? head : Math.ceil((head - 127) / 2));
  if (length > bytes.length) throw new Error("cut off in a Huffman table");
  const described = bytes.subarray(1, length);
  const weights = head < 128 ? compressedWeights(described) : directWeights(described, head - 127);
  return { table: huffmanTable(weights), length };
}

function directWeights(bytes: Uint8Array, count: number): number[] {
  return Array.from({ length: count }, (_, at) => (at % 2 === 0 ? bytes[at >> 1]! >> 4 : bytes[at >> 1]! & 15));
}

/** Section 4.2.1.2: two states take turns until the bits are used up. */
function compressedWeights(bytes: Uint8Array): number[] {
  const { table, length } = readFseTable(bytes, 6, 255);
  const bits = new BackwardBits(bytes.subarray(length));
  const weights: number[] = [];
  let [state, other] = [bits.read(table.log), bits.read(table.log)];
  for (;;) {
    weights.push(table.symbols[state]!);
    const next = table.bases[state]! + bits.read(table.bits[state]!);
    if (bits.left < 0) return [...weights, table.symbols[other]!];
    if (weights.length > 254) throw new Error("too many weights");
    [state, other] = [other, next];
  }
}

/** The last weight isn't written: it makes the sum a power of two. */
function huffmanTable(weights: number[]): HuffmanTable {
  const sum = weights.reduce((all, weight) => all + (weight > 0 ? 1 << (weight - 1) : 0), 0);
  const log = sum === 0 ? 0 : highestBit(sum) + 1;
  const rest = (1 << log) - sum;
  if (log === 0 || log > maxHuffmanLog || (rest & (rest - 1)) !== 0) throw new Error("weights of no Huffman code");
  const all = [...weights, highestBit(rest) + 1];
  const table = { log, symbols: new Uint8Array(1 << log), bits: new Uint8Array(1 << log) };
  let at = 0;
  for (let weight = 1; weight <= log; weight++) {
    all.forEach((one, symbol) => {
      if (one !== weight) return;
      const upTo = at + (1 << (weight - 1));
      table.symbols.fill(symbol, at, upTo);
      table.bits.fill(log + 1 - weight, at, upTo);
      at = upTo;
    });
  }
  return table;
}

/** Decodes a stream that is so many bytes long when decoded. */
export function readHuffman(bytes: Uint8Array, table: HuffmanTable, out: Uint8Array): void {
  const bits = new BackwardBits(bytes);
  for (let at = 0; at < out.length; at++) {
    const index = bits.at(bits.left - table.log, table.log);
    out[at] = table.symbols[index]!;
    bits.left -= table.bits[index]!;
  }
  if (bits.left !== 0) throw new Error("a Huffman stream that doesn't end where it should");
}

/** A little-endian number. */
export function little(bytes: Uint8Array, at: number, count: number): number {
  if (at + count > bytes.length) throw new Error("cut off");
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + bytes[at + i]!;
  return value;
}
