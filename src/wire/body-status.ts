/**
 * Body status: the status that a response has inside its body, read as the bytes go by. Nothing is held back or changed: who carries
 * a response that isn't looked into learns from it how the call ended.
 */
import { Code } from "@connectrpc/connect";
import { type BodyRange, joinRanges, keepRange } from "../http2/body.ts";
import { Field, valueOf } from "../http2/field.ts";
import { Base64Decoder } from "./base64-stream.ts";
import { parseConnectEnd } from "./connect-end.ts";
import { parseConnectError, statusOfConnectHttp } from "./connect-error.ts";
import { isCompressed } from "./encoding.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, Handling } from "./envelope.ts";
import { fieldsOfStatus } from "./rpc-status.ts";
import { parseWebTrailers } from "./web-trailers.ts";

/** Bytes that the end of a stream, or an error, may have: most that trailers can have anywhere. Larger ones pass unread. */
const maxRead = 64 << 10;

/** Undoes a compression; throws where it can't, or where there is more than the limit. */
export type Inflate = (encoding: string, bytes: Uint8Array, limit: number) => Uint8Array;

export interface BodyStatus {
  /** Trailers with the response's own grpc-status, once they have come by: a caller may leave as soon as it has read them. */
  readonly told: readonly Field[] | undefined;
  push(bytes: Uint8Array, start: number, stop: number): void;
  /**
   * The body has ended.
   *
   * @returns trailers with a grpc-status: the response's own, or `internal` where a stream ended without
   */
  end(): readonly Field[];
}

/**
 * @param head of a final response, `:status` first
 * @returns undefined where no status is in the body, or none that can be read: unary Connect's success has none, gRPC's is in the
 *   trailers, and streams in an encoding of HTTP's aren't looked into
 */
export function bodyStatus(head: readonly Field[], inflate: Inflate): BodyStatus | undefined {
  const http = Number(head[0]!.value);
  const type = valueOf(head, "content-type") ?? "";
  const encoding = valueOf(head, "content-encoding");
  if (http !== 200) return /^application\/json\b/i.test(type) ? new ErrorBody(http, encoding, inflate) : undefined;
  if (isCompressed(encoding)) return undefined;
  const [, protocol, text] = /^application\/(grpc-web(-text)?|connect)(?![\w-])/i.exec(type) ?? [];
  if (protocol === undefined) return undefined;
  if (protocol.toLowerCase() === "connect") {
    return new StreamBody(EnvelopeFlag.connectEnd, {
      inflate,
      encoding: valueOf(head, "connect-content-encoding"),
      parse: parseConnectEnd,
    });
  }
  const stream = new StreamBody(EnvelopeFlag.webTrailers, {
    inflate,
    encoding: valueOf(head, "grpc-encoding"),
    parse: parseWebTrailers,
  });
  return text === undefined ? stream : new TextBody(stream);
}

/**
 * The status of a response that has none in its body and no grpc-status: of unary Connect, or of some other server.
 *
 * @returns a grpc-status and perhaps a message, as trailers
 */
export function statusOfHead(head: readonly Field[]): readonly Field[] {
  const http = Number(head[0]!.value);
  if (http !== 200) return fieldsOfStatus(statusOfConnectHttp(http));
  const type = valueOf(head, "content-type");
  if (type?.startsWith("application/") === true) return success;
  const message = `upstream answered with HTTP 200 and ${type === undefined ? "no content-type" : `content-type "${type}"`}`;
  return fieldsOfStatus({ code: Code.Unknown, message, details: [] });
}

const success = [new Field("grpc-status", "0")];

interface LastEnvelope {
  readonly inflate: Inflate;
  /** In which it is compressed, if its flags say that it is. */
  readonly encoding: string | undefined;
  readonly parse: (payload: Uint8Array) => readonly Field[] | undefined;
}

/** Messages, and a last envelope that is none. */
class StreamBody implements BodyStatus, EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  readonly #lastFlag: number;
  readonly #last: LastEnvelope;
  told: readonly Field[] | undefined;
  #unread = false;

  constructor(lastFlag: number, last: LastEnvelope) {
    this.#lastFlag = lastFlag;
    this.#last = last;
  }

  push(bytes: Uint8Array, start: number, stop: number): void {
    this.#reader.push(bytes, start, stop);
  }

  end(): readonly Field[] {
    if (this.told !== undefined) return this.told;
    const what = this.#unread ? "an end that can't be read" : "no status at its end";
    const code = this.#unread ? Code.Unknown : Code.Internal;
    return fieldsOfStatus({ code, message: `the stream had ${what}`, details: [] });
  }

  handlingOf(flags: number, length: number): Handling {
    if ((flags & this.#lastFlag) === 0) return Handling.pass;
    return length <= maxRead ? Handling.gather : Handling.refuse;
  }

  onRefuse(): void {
    this.#unread = true;
  }

  onMessage(flags: number, payload: Uint8Array): void {
    const { inflate, encoding = "", parse } = this.#last;
    this.#reader.stop();
    this.#unread = true;
    try {
      const isPlain = (flags & EnvelopeFlag.compressed) === 0 || payload.length === 0;
      const trailers = parse(isPlain ? payload : inflate(encoding, payload, maxRead));
      if (trailers !== undefined && valueOf(trailers, "grpc-status") !== undefined) this.told = trailers;
    } catch {
      // an encoding that isn't known, or bytes that aren't of it
    }
  }
}

/** The same in base64. */
class TextBody implements BodyStatus {
  readonly #decoder = new Base64Decoder();
  readonly #stream: BodyStatus;

  constructor(stream: BodyStatus) {
    this.#stream = stream;
  }

  get told(): readonly Field[] | undefined {
    return this.#stream.told;
  }

  push(bytes: Uint8Array, start: number, stop: number): void {
    const decoded = this.#decoder.push(bytes, start, stop);
    if (decoded !== undefined) this.#stream.push(decoded, 0, decoded.length);
  }

  end(): readonly Field[] {
    return this.#stream.end();
  }
}

/** An error of unary Connect, if it is one: else HTTP's status counts. */
class ErrorBody implements BodyStatus {
  readonly told = undefined;
  readonly #http: number;
  readonly #encoding: string | undefined;
  readonly #inflate: Inflate;
  readonly #body: BodyRange[] = [];
  #length = 0;

  constructor(http: number, encoding: string | undefined, inflate: Inflate) {
    this.#http = http;
    this.#encoding = encoding;
    this.#inflate = inflate;
  }

  push(bytes: Uint8Array, start: number, stop: number): void {
    this.#length += stop - start;
    if (this.#length > maxRead) this.#body.length = 0;
    else if (stop > start) keepRange(this.#body, bytes, start, stop);
  }

  end(): readonly Field[] {
    let body = joinRanges(this.#body);
    try {
      if (isCompressed(this.#encoding)) body = this.#inflate(this.#encoding, body, maxRead);
    } catch {
      // then it is no JSON, and the HTTP status counts
    }
    return fieldsOfStatus(parseConnectError(body, this.#http));
  }
}
