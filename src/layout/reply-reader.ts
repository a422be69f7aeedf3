/** Reads replies of the layout `merge`, and appends metadata to their elements. */
import { Cursor, lengthDelimited, Malformed, wireTypes } from "./cursor.ts";
import type { MergeFields } from "./merge-fields.ts";
import { allocate, copy, tagOf, varintSize, writeVarint } from "./writing.ts";

/** Goes over replies. Its state is that of one reply at a time: nothing waits within a reply. */
export class ReplyReader {
  readonly #metadataTag: number;
  readonly #hostnameTag: number;
  readonly #keepNames: boolean;
  readonly #reply = new Cursor();
  readonly #element = new Cursor();
  readonly #metadata = new Cursor();
  /** For each element its tag, where its content begins, and where that ends. As it is: 0, where its tag begins, and where it ends. */
  readonly #parts: number[] = [];

  constructor(fields: MergeFields, keepNames: boolean) {
    this.#metadataTag = tagOf(fields.metadata);
    this.#hostnameTag = tagOf(fields.hostname);
    this.#keepNames = keepNames;
  }

  /**
   * Annotates every element of a reply.
   *
   * @throws Malformed for what isn't messages, one after the other
   */
  annotateReply(reply: Uint8Array, annotation: Uint8Array): Uint8Array {
    const parts = this.#parts;
    parts.length = 0;
    const out = allocate(this.#take(reply, annotation.length));
    let at = 0;
    for (let each = 0; each < parts.length; each += 3) {
      const [tag, from, end] = [parts[each]!, parts[each + 1]!, parts[each + 2]!];
      if (tag === 0) {
        at = copy(out, at, reply, from, end);
      } else {
        at = writeVarint(out, writeVarint(out, at, tag), end - from + annotation.length);
        at = copy(out, copy(out, at, reply, from, end), annotation, 0, annotation.length);
      }
    }
    return out;
  }

  /** Annotates a message of a stream. */
  annotateElement(element: Uint8Array, annotation: Uint8Array): Uint8Array {
    if (this.#isNamed(element, 0, element.length)) return element;
    const out = allocate(element.length + annotation.length);
    copy(out, copy(out, 0, element, 0, element.length), annotation, 0, annotation.length);
    return out;
  }

  /** Takes a reply apart. Returns the bytes that it will have with `added` bytes more in each element that is not named. */
  #take(reply: Uint8Array, added: number): number {
    const cursor = this.#reply;
    cursor.enter(reply, 0, reply.length);
    let size = 0;
    while (!cursor.done) {
      const start = cursor.at;
      const tag = cursor.tag();
      if ((tag & 7) !== lengthDelimited) throw new Malformed(notAMessage(tag));
      const length = cursor.length();
      const content = cursor.at;
      cursor.at = content + length;
      if (this.#isNamedElement(tag, reply, content, cursor.at)) {
        this.#parts.push(0, start, cursor.at);
        size += cursor.at - start;
      } else {
        this.#parts.push(tag, content, cursor.at);
        size += varintSize(tag) + varintSize(length + added) + length + added;
      }
    }
    return size;
  }

  #isNamedElement(tag: number, reply: Uint8Array, start: number, end: number): boolean {
    try {
      return this.#isNamed(reply, start, end);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new Malformed(`field ${tag >>> 3} is not a message (${error.message})`);
    }
  }

  /**
   * Whether an element's metadata has a hostname, which it keeps. The last one counts, as for every decoder.
   *
   * @throws Malformed for what is no message
   */
  #isNamed(bytes: Uint8Array, start: number, end: number): boolean {
    const cursor = this.#element;
    cursor.enter(bytes, start, end);
    let named = false;
    while (!cursor.done) {
      const tag = cursor.tag();
      if (tag === this.#metadataTag) {
        const length = cursor.length();
        named = this.#hostname(bytes, cursor.at, cursor.at + length) ?? named;
        cursor.at += length;
      } else {
        cursor.skip(tag);
      }
    }
    return named && this.#keepNames;
  }

  /** @returns undefined where there is none; false for "" */
  #hostname(bytes: Uint8Array, start: number, end: number): boolean | undefined {
    const cursor = this.#metadata;
    cursor.enter(bytes, start, end);
    let found: boolean | undefined;
    while (!cursor.done) {
      const tag = cursor.tag();
      if (tag !== this.#hostnameTag) {
        cursor.skip(tag);
        continue;
      }
      const length = cursor.length();
      found = length > 0;
      cursor.at += length;
    }
    return found;
  }
}

function notAMessage(tag: number): string {
  return `field ${tag >>> 3} is ${wireTypes[(tag & 7) as 0]}, and a reply has repeated messages only`;
}
