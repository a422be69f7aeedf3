/** What the parser makes of bytes, as a list that can be compared. */

import type { RequestHead } from "../../src/http1/head.ts";
import { RequestParser, type RequestSink } from "../../src/http1/parser.ts";
import { RequestError } from "../../src/http1/request-error.ts";
import { defaultSettings, type Http1Settings } from "../../src/http1/settings.ts";
import type { Field } from "../../src/http2/field.ts";

/** A request as it was read. */
export interface ReadRequest {
  /** "name: value" each, pseudo-header fields included. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  readonly isWhole: boolean;
  readonly head: Omit<RequestHead, "fields">;
}

export interface ReadResult {
  readonly requests: readonly ReadRequest[];
  /** Status of what ended the reading. */
  readonly refused: number | undefined;
  /** Bytes that weren't read, as they come behind the last request of a connection. */
  readonly unread: number;
}

export interface ReadOptions {
  /** Where the bytes are split, ascending. Default: nowhere. */
  readonly splits?: readonly number[];
  readonly secure?: boolean;
  readonly settings?: Partial<Http1Settings>;
}

type Collected = { -readonly [Key in keyof ReadRequest]: ReadRequest[Key] };

/** Reads one request after another. Any error but a `RequestError` is thrown. */
export function readRequests(input: string | Uint8Array, options: ReadOptions = {}): ReadResult {
  const bytes = typeof input === "string" ? Buffer.from(input, "latin1") : input;
  const requests: Collected[] = [];
  const current = () => requests.at(-1)!;
  const sink: RequestSink = {
    onHead({ fields, ...head }, end) {
      requests.push({ fields: textOf(fields), body: "", trailers: [], isWhole: end, head });
    },
    onBody(part, start, stop, end) {
      current().body += Buffer.from(part.subarray(start, stop)).toString("latin1");
      current().isWhole = end;
    },
    onTrailers(fields) {
      current().trailers = textOf(fields);
      current().isWhole = true;
    },
  };
  const parser = new RequestParser(sink, { ...defaultSettings, ...options.settings }, options.secure ?? false);
  try {
    let from = 0;
    for (const to of [...(options.splits ?? []), bytes.length]) {
      // a copy that is spoilt afterwards: nothing may be kept of it
      const chunk = new Uint8Array(bytes.subarray(from, to));
      for (let at = 0; at < chunk.length; ) {
        if (parser.isWhole && current().head.close)
          return { requests, refused: undefined, unread: bytes.length - from - at };
        if (parser.isWhole) parser.next();
        at = parser.receive(chunk, at, chunk.length);
      }
      chunk.fill(0x58);
      from = to;
    }
    return { requests, refused: undefined, unread: 0 };
  } catch (error) {
    if (error instanceof RequestError) return { requests, refused: error.status, unread: 0 };
    throw error;
  }
}

export function textOf(fields: readonly Field[]): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`);
}
