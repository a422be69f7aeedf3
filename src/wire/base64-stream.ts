/** The body of `application/grpc-web-text`: base64 that may be padded in its middle, read and written piece by piece. */

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const equals = 0x3d;

/** Character of each six bits. */
const charOf = Uint8Array.from(alphabet, (char) => char.charCodeAt(0));

/** Six bits of each character; 64 for the padding, 65 for a line end, 66 for what isn't base64. */
const padding = 64;
const lineEnd = 65;
const bad = 66;
const bitsOf = new Uint8Array(256).fill(bad);
for (const [bits, char] of charOf.entries()) bitsOf[char] = bits;
bitsOf[equals] = padding;
bitsOf[0x0a] = lineEnd;
bitsOf[0x0d] = lineEnd;

const empty = new Uint8Array(0);

/**
 * Decodes a body, in any pieces. A group of four that ends in `=` may be followed by others, as clients write each frame for itself;
 * line ends between characters are skipped. Once the body is found bad it stays so.
 * @see gRPC-Web, "Message framing": application/grpc-web-text
 */
export class Base64Decoder {
  /** Six bits of each character of a group that isn't complete: how many, and what. */
  #count = 0;
  #bits = 0;
  /** Padding in this group. */
  #padded = 0;
  #bad = false;

  /** The bytes that are now complete; undefined for what isn't base64: the answer is HTTP 400. */
  push(bytes: Uint8Array, start: number, stop: number): Uint8Array | undefined {
    if (this.#bad) return undefined;
    const out = new Uint8Array(((this.#count + stop - start) >>> 2) * 3);
    let length = 0;
    for (let at = start; at < stop; at++) {
      const bits = bitsOf[bytes[at]!]!;
      if (bits === lineEnd) continue;
      if (!this.#add(bits)) return this.#fail();
      if (this.#count < 4) continue;
      const group = this.#bits;
      out[length] = group >>> 16;
      out[length + 1] = group >>> 8;
      out[length + 2] = group;
      length += 3 - this.#padded;
      this.#count = this.#bits = this.#padded = 0;
    }
    return length === out.length ? out : out.subarray(0, length);
  }

  /** The body has ended: true if it was complete. A group without its padding was cut off, and isn't. */
  end(): boolean {
    return !this.#bad && this.#count === 0;
  }

  /** A group has at most two of padding, all at its end. */
  #add(bits: number): boolean {
    if (bits === bad) return false;
    if (bits === padding) {
      if (this.#count < 2) return false;
      this.#padded++;
    } else if (this.#padded > 0) return false;
    this.#bits = (this.#bits << 6) | (bits & 0x3f);
    this.#count++;
    return true;
  }

  #fail(): undefined {
    this.#bad = true;
    return undefined;
  }
}

/** Encodes a body, in any pieces. */
export class Base64Encoder {
  /** Bytes that wait for others to make a group of three. */
  #bits = 0;
  #count = 0;

  /**
   * The characters that are now complete.
   *
   * @param flush pads, so that all bytes so far can be read: at the end of a message that must not wait, and of the body
   */
  push(bytes: Uint8Array, start: number, stop: number, flush: boolean): Uint8Array {
    const total = this.#count + stop - start;
    if (total === 0) return empty;
    const out = new Uint8Array((flush ? Math.ceil(total / 3) : Math.floor(total / 3)) * 4);
    let to = 0;
    for (let at = start; at < stop; at++) {
      this.#bits = (this.#bits << 8) | bytes[at]!;
      if (++this.#count < 3) continue;
      writeGroup(out, to, this.#bits);
      to += 4;
      this.#count = this.#bits = 0;
    }
    if (flush && this.#count > 0) this.#pad(out, to);
    return out;
  }

  #pad(out: Uint8Array, to: number): void {
    const missing = 3 - this.#count;
    writeGroup(out, to, this.#bits << (8 * missing));
    out.fill(equals, to + 4 - missing, to + 4);
    this.#count = this.#bits = 0;
  }
}

function writeGroup(out: Uint8Array, to: number, bits: number): void {
  out[to] = charOf[(bits >>> 18) & 0x3f]!;
  out[to + 1] = charOf[(bits >>> 12) & 0x3f]!;
  out[to + 2] = charOf[(bits >>> 6) & 0x3f]!;
  out[to + 3] = charOf[bits & 0x3f]!;
}
