/**
 * Layout `merge`: upstreams answer with messages of repeated messages, and each element says where it comes from. The bytes are those of
 * siderolabs/grpc-proxy's examples and of Talos' apid, without their faults: replies may have any number of elements.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeStatus, type RpcStatus } from "../wire/rpc-status.ts";
import { Cursor, lengthDelimited, Malformed, wireTypes } from "./cursor.ts";
import { goErrorText } from "./go-error.ts";
import type { Layout } from "./layout.ts";
import { checkMergeFields, type MergeFields, siderolabs, talos } from "./merge-fields.ts";
import { rememberedByName } from "./remembered.ts";
import { allocate, concat, copy, fieldOf, tagOf, varintSize, writeVarint } from "./writing.ts";

export interface MergeOptions {
  /** Default "merge". */
  readonly name?: string;
  /** Default `siderolabs`, field by field. */
  readonly fields?: Partial<MergeFields>;
  /**
   * What becomes of an element that has a hostname already. True (default): it is kept, so that a Manifold in front of Manifolds tells the
   * innermost names. False: the endpoint's name is put in its place, as grpc-proxy does; for endpoints that must not speak for others.
   */
  readonly keepNames?: boolean;
}

/**
 * Makes a layout of messages such as
 * `Reply { repeated Element response = 1; }`, `Element { Metadata metadata = 99; ... }`, `Metadata { string hostname = 99; string upstream_error = 100; }`.
 *
 * - Metadata with the endpoint's name is appended to every element of every top-level field. In a stream a message is an element itself.
 * - A reply without any element becomes one that has only metadata, and no error in it: nothing is left out of a joined reply.
 * - A failed leg is an element that has only metadata, with the name and the error.
 * - A reply with anything else than messages at its top is refused, and so becomes a failed leg.
 *
 * @throws RangeError for field numbers that can't be
 */
export function mergeLayout(options: MergeOptions = {}): Layout {
  const { name = "merge", keepNames = true } = options;
  const fields = { ...siderolabs, ...options.fields };
  checkMergeFields(fields);
  const annotation = rememberedByName((backend) => metadataOf(fields, [[fields.hostname, utf8.encode(backend)]]));
  const empty = rememberedByName((backend) => fieldOf(fields.element, annotation(backend)));
  const reader = new ReplyReader(fields, keepNames);
  return {
    name,
    annotate({ backend }, reply, stream) {
      try {
        if (stream) return reader.annotateElement(reply, annotation(backend));
        return reply.length === 0 ? empty(backend) : reader.annotateReply(reply, annotation(backend));
      } catch (error) {
        throw refused(name, error);
      }
    },
    fail({ backend }, status, stream) {
      const element = metadataOf(fields, errorParts(fields, backend, status));
      return stream ? element : fieldOf(fields.element, element);
    },
  };
}

/** The layout of siderolabs/grpc-proxy's examples: metadata 99, hostname 99, upstream_error 100, element 1. */
export const merge: Layout = mergeLayout();

/** The layout of Talos' apid: metadata 1, hostname 1, error 2, status 3, element 1. */
export const talosMerge: Layout = mergeLayout({ name: "talos", fields: talos });

const utf8 = new TextEncoder();

type Part = readonly [field: number, value: Uint8Array];

/** What is appended to an element: its metadata field. The parts are in the order of their numbers, as Go writes them. */
function metadataOf(fields: MergeFields, parts: Part[]): Uint8Array {
  const ordered = parts.sort(([one], [other]) => one - other);
  return fieldOf(fields.metadata, concat(ordered.map(([field, value]) => fieldOf(field, value))));
}

function errorParts(fields: MergeFields, backend: string, status: RpcStatus): Part[] {
  const parts: Part[] = [
    [fields.hostname, utf8.encode(backend)],
    [fields.error, utf8.encode(goErrorText(status.code, status.message))],
  ];
  if (fields.status !== undefined) parts.push([fields.status, encodeStatus(status)]);
  return parts;
}

function refused(layout: string, error: unknown): unknown {
  if (!(error instanceof Malformed)) return error;
  const message = `the reply is not of the layout "${layout}": ${error.message}`;
  return new ConnectError(message, Code.Internal, undefined, undefined, error);
}

/** Goes over replies. Its state is that of one reply at a time: nothing waits within a reply. */
class ReplyReader {
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
