/** Strings in HPACK's Huffman code (RFC 7541 section 5.2), decoded by a table that takes a byte at a step. */
import { byteAt, latin1 } from "./latin1.ts";
import { codeLengths, codes, endOfString } from "./huffman-code.ts";

/** States of the decoder: the inner nodes of the code's tree, of which there is one less than leaves. 0 is the root. */
const stateCount = codes.length - 1;

/** Set in the step that completes the code of the end of string, which no string may hold. */
const failure = 1 << 26;

/**
 * The step from each state on each byte, in one word: the next state in bits 0-7, the bytes that were completed in 8-15
 * and 16-23, their number (0-2, for no code has less than 5 bits) in 24-25, and the failure bit.
 */
const steps = new Uint32Array(stateCount * 256);

/** 1 for each state that a string may end in: less than 8 bits into a code, all of them ones. */
const mayEnd = new Uint8Array(stateCount);

fillTables();

/** Where strings are decoded to. Longer ones than fit here get a buffer of their own, for once. */
const scratch = new Uint8Array(8192);

/**
 * Decodes the bytes from `start` to `end`.
 *
 * @returns a binary string, or undefined if the bytes hold the end of string, end within a code, or are padded with more
 *   than 7 bits or with other bits than ones
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  const room = (end - start) * 2; // 8/5 is the most, and each step writes two bytes where it has one
  const out = room <= scratch.length ? scratch : new Uint8Array(room);
  let length = 0;
  let state = 0;
  for (let i = start; i < end; i++) {
    const step = steps[(state << 8) | bytes[i]!]!;
    out[length] = step >>> 8;
    out[length + 1] = step >>> 16;
    if (step >= failure) return undefined;
    length += step >>> 24;
    state = step & 0xff;
  }
  return mayEnd[state] === 1 ? latin1(out, 0, length) : undefined;
}

/** The number of bytes that a binary string takes in this code. */
export function huffmanLength(text: string): number {
  let bits = 7; // rounds up
  for (let i = 0; i < text.length; i++) bits += codeLengths[byteAt(text, i)]!;
  return bits >>> 3;
}

/** Writes a binary string in this code to `out` from `offset` on, and returns the offset after it. */
export function writeHuffman(text: string, out: Uint8Array, offset: number): number {
  let pos = offset;
  let word = 0; // its lowest `bits` bits are still to be written; those above have been
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = byteAt(text, i);
    let code = codes[symbol]!;
    let length = codeLengths[symbol]!;
    if (length > 24) {
      // More than fits beside the 7 bits that may be left over: its upper bits first.
      word = (word << (length - 16)) | (code >>> 16);
      bits += length - 16;
      for (; bits >= 8; bits -= 8) out[pos++] = word >>> (bits - 8);
      code &= 0xffff;
      length = 16;
    }
    word = (word << length) | code;
    bits += length;
    for (; bits >= 8; bits -= 8) out[pos++] = word >>> (bits - 8);
  }
  if (bits > 0) out[pos++] = (word << (8 - bits)) | (0xff >>> bits);
  return pos;
}

function fillTables(): void {
  const tree = buildTree();
  for (let node = 0, depth = 0; depth < 8; depth++) {
    mayEnd[node] = 1;
    node = tree[node * 2 + 1]!;
  }
  for (let state = 0; state < stateCount; state++) {
    for (let byte = 0; byte < 256; byte++) steps[(state << 8) | byte] = stepOf(tree, state, byte);
  }
}

/** Both children of each inner node: another inner node, or `stateCount` plus the symbol. */
function buildTree(): Uint16Array {
  const tree = new Uint16Array(stateCount * 2);
  let nodes = 1;
  for (let symbol = 0; symbol < codes.length; symbol++) {
    let node = 0;
    for (let bit = codeLengths[symbol]! - 1; bit > 0; bit--) {
      const child = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (tree[child] === 0) tree[child] = nodes++;
      node = tree[child]!;
    }
    tree[node * 2 + (codes[symbol]! & 1)] = stateCount + symbol;
  }
  return tree;
}

function stepOf(tree: Uint16Array, state: number, byte: number): number {
  let node = state;
  let step = 0;
  let count = 0;
  for (let bit = 7; bit >= 0; bit--) {
    node = tree[node * 2 + ((byte >>> bit) & 1)]!;
    if (node < stateCount) continue;
    const symbol = node - stateCount;
    if (symbol === endOfString) return failure;
    step |= symbol << (8 + 8 * count++);
    node = 0;
  }
  return step | (count << 24) | node;
}
