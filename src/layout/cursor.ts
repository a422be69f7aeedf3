/** Reads protobuf's wire format without a schema: fields are told apart, not understood. */

/** Wire types by their number. https://protobuf.dev/programming-guides/encoding/#structure */
export const wireTypes = ["a varint", "64 bits", "a message", "a group", "an end of a group", "32 bits"] as const;

export const lengthDelimited = 2;

/** Groups within groups, as other decoders allow. */
const maxDepth = 100;

/** 32 bits, seven in each. Zeros may follow in other varints; C++ and protobuf-es refuse a tag with such. */
const maxTagBytes = 5;

/** What isn't protobuf. The message says why and where. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** A place in a message. One is used for many messages, for it is made in the path of every reply. */
export class Cursor {
  at = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #end = 0;

  /** Goes to the message that is bytes[start, end). */
  enter(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.at >= this.#end;
  }

  /**
   * Reads a field's number and wire type: `number * 8 + type`.
   *
   * @throws Malformed for a number or a wire type that can't be, and for one in more bytes than other decoders take
   */
  tag(): number {
    const start = this.at;
    const tag = this.#varint();
    if (tag < 8 || tag > 0xffffffff || (tag & 7) > 5 || this.at - start > maxTagBytes) {
      throw new Malformed(`invalid tag ${tag} before byte ${this.at}`);
    }
    return tag;
  }

  /**
   * Reads the length of what follows.
   *
   * @throws Malformed if it doesn't fit
   */
  length(): number {
    const length = this.#varint();
    if (length > this.#end - this.at) throw new Malformed(`cut off: ${length} bytes wanted at byte ${this.at}`);
    return length;
  }

  /** Goes on behind the value of a field whose tag was read. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint();
        break;
      case 1:
        this.#advance(8);
        break;
      case lengthDelimited:
        this.#advance(this.#varint());
        break;
      case 3:
        this.#skipGroup(tag);
        break;
      case 5:
        this.#advance(4);
        break;
      default:
        throw new Malformed(`end of a group that didn't begin, before byte ${this.at}`);
    }
  }

  #skipGroup(tag: number): void {
    const open = [tag];
    while (open.length > 0) {
      const next = this.tag();
      if ((next & 7) === 3) open.push(next);
      else if ((next & 7) !== 4) this.skip(next);
      else if (open.pop() !== next - 1) throw new Malformed(`end of another group, before byte ${this.at}`);
      if (open.length > maxDepth) throw new Malformed(`groups more than ${maxDepth} deep`);
    }
  }

  #advance(bytes: number): void {
    if (bytes > this.#end - this.at) throw new Malformed(`cut off: ${bytes} bytes wanted at byte ${this.at}`);
    this.at += bytes;
  }

  /** The low 53 bits of one are right, and above that it is no length. */
  #varint(): number {
    const first = this.at < this.#end ? this.#bytes[this.at]! : 0x80;
    if (first < 0x80) {
      this.at++;
      return first;
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    let value = 0;
    let unit = 1;
    for (let taken = 0; taken < 10; taken++) {
      if (this.at >= this.#end) throw new Malformed(`cut off within a varint at byte ${this.at}`);
      const byte = this.#bytes[this.at++]!;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 0x80;
    }
    throw new Malformed(`varint of more than 10 bytes before byte ${this.at}`);
  }
}
