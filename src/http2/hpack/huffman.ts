/** Strings in HPACK's Huffman code (RFC 7541 section 5.2), decoded by a table that takes a byte at a step. */

import { codeLengths, codes, endOfString } from "./huffman-code.ts";
import { byteAt, latin1 } from "./latin1.ts";

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

/**
 * Writes a binary string in this code to `out` from `offset` on, if that makes it shorter. One pass that gives up costs half
 * of what two passes do, the first for the length.
 *
 * @returns the offset after it, or -1 if it would be no shorter; no more than `text.length` bytes have been written then
 */
export function writeHuffman(text: string, out: Uint8Array, offset: number): number {
  const limit = offset + text.length;
  let pos = offset;
  let word = 0; // its lowest `bits` bits are still to be written, 15 at most; those above have been
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = byteAt(text, i);
    let code = codes[symbol]!;
    let length = codeLengths[symbol]!;
    if (length > 15) {
      // In two parts, as it may not fit beside the bits that are left.
      word = (word << (length - 15)) | (code >>> 15);
      bits += length - 15;
      if (bits >= 16) {
        if (pos + 2 > limit) return -1;
        out[pos++] = word >>> (bits - 8);
        out[pos++] = word >>> (bits - 16);
        bits -= 16;
      }
      code &= 0x7fff;
      length = 15;
    }
    word = (word << length) | code;
    bits += length;
    if (bits >= 16) {
      if (pos + 2 > limit) return -1;
      out[pos++] = word >>> (bits - 8);
      out[pos++] = word >>> (bits - 16);
      bits -= 16;
    }
  }
  if (pos + ((bits + 7) >>> 3) >= limit) return -1;
  if (bits > 8) {
    out[pos++] = word >>> (bits - 8);
    bits -= 8;
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
  const halves = new Uint32Array(stateCount * 16);
  for (let i = 0; i < halves.length; i++) halves[i] = halfStep(tree, i >>> 4, i & 0xf);
  for (let i = 0; i < steps.length; i++) {
    const one = halves[i >>> 4]!; // by the state and the upper half of the byte
    const two = halves[((one & 0xff) << 4) | (i & 0xf)]!;
    steps[i] = ((one | two) & failure) > 0 ? failure : joined(one, two);
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

/** The step on 4 bits, in which one byte at most is completed. */
function halfStep(tree: Uint16Array, state: number, bits: number): number {
  let node = state;
  let completed = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = tree[node * 2 + ((bits >>> bit) & 1)]!;
    if (node < stateCount) continue;
    const symbol = node - stateCount;
    if (symbol === endOfString) return failure;
    completed = (1 << 24) | (symbol << 8);
    node = 0;
  }
  return completed | node;
}

function joined(one: number, two: number): number {
  const count = one >>> 24;
  return (one & 0xff00) | ((two & 0xff00) << (8 * count)) | ((count + (two >>> 24)) << 24) | (two & 0xff);
}
