/** A connection over a socket in memory, and a record of all that it tells. */
import { EventEmitter } from "node:events";
import { Http1Connection } from "../../src/http1/connection.ts";
import type { Http1Settings } from "../../src/http1/settings.ts";
import type { ByteSocket, HttpStream, ResetCause, StreamListener } from "../../src/http2/api.ts";
import { Field } from "../../src/http2/field.ts";
import { textOf } from "./events.ts";

/** Takes all that is written, or holds it while `stalled`. */
export class MemorySocket extends EventEmitter implements ByteSocket {
  stalled = false;
  writableLength = 0;
  isPaused = false;
  /** How our side ended. */
  state: "open" | "ended" | "destroyed" = "open";
  #text = "";

  write(chunk: Uint8Array): boolean {
    this.#text += Buffer.from(chunk).toString("latin1");
    if (this.stalled) this.writableLength += chunk.length;
    return !this.stalled;
  }

  /** The peer reads all that was held, once. */
  drain(): void {
    this.writableLength = 0;
    this.emit("drain");
  }

  end(): void {
    this.state = "ended";
  }

  destroy(): void {
    this.state = "destroyed";
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  cork(): void {}
  uncork(): void {}

  /** What was written since the last call, in the turn that is over. */
  async take(): Promise<string> {
    await new Promise((resolve) => setImmediate(resolve));
    const text = this.#text;
    this.#text = "";
    return text;
  }
}

/** A request and all that comes of it. */
export class Recorded implements StreamListener {
  readonly stream: HttpStream;
  readonly fields: readonly string[];
  body = "";
  trailers: string[] | undefined;
  isEnded: boolean;
  sent = 0;
  reset: { code: number; cause: ResetCause } | undefined;

  constructor(stream: HttpStream, fields: readonly Field[], end: boolean) {
    this.stream = stream;
    this.fields = textOf(fields);
    this.isEnded = end;
  }

  /** Answers in one go. */
  answer(status: number, body = "", ...fields: (readonly [string, string])[]): void {
    this.head(status, body === "", ...fields);
    if (body !== "") this.data(body, true);
  }

  head(status: number, end: boolean, ...fields: (readonly [string, string])[]): void {
    this.stream.sendHeaders([new Field(":status", String(status)), ...fieldsOf(fields)], end);
  }

  data(text: string, end = false): boolean {
    const bytes = Buffer.from(text, "latin1");
    return this.stream.sendData(bytes, 0, bytes.length, end);
  }

  end(...trailers: (readonly [string, string])[]): void {
    if (trailers.length === 0) this.stream.end();
    else this.stream.sendHeaders(fieldsOf(trailers), true);
  }

  onHeaders(): void {
    throw new Error("a request has one head");
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.body += Buffer.from(bytes.subarray(start, stop)).toString("latin1");
    this.isEnded = end;
  }

  onTrailers(fields: Field[]): void {
    this.trailers = textOf(fields);
    this.isEnded = true;
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  onReset(code: number, cause: ResetCause): void {
    if (this.reset !== undefined) throw new Error("told twice of a reset");
    this.reset = { code, cause };
  }
}

export function fieldsOf(pairs: readonly (readonly [name: string, value: string])[]): Field[] {
  return pairs.map(([name, value]) => new Field(name, value));
}

export interface OpenOptions {
  readonly secure?: boolean;
  readonly settings?: Partial<Http1Settings>;
  /** What is done with each request at once. */
  readonly onRequest?: (request: Recorded) => void;
}

export interface Opened {
  readonly connection: Http1Connection;
  readonly socket: MemorySocket;
  readonly requests: Recorded[];
  /** What `onClose` was told; empty until then. */
  readonly closes: (Error | undefined)[];
  /** What `onUnreadable` was told. */
  readonly unreadable: string[];
  /** Sends as the peer. */
  send(text: string): void;
}

export function open({ secure = false, settings = {}, onRequest }: OpenOptions = {}): Opened {
  const socket = new MemorySocket();
  const requests: Recorded[] = [];
  const closes: (Error | undefined)[] = [];
  const unreadable: string[] = [];
  const connection = new Http1Connection(socket, {
    secure,
    settings,
    listener: {
      onRequest(stream, fields, end) {
        const request = new Recorded(stream, fields, end);
        requests.push(request);
        stream.listener = request;
        onRequest?.(request);
        return request;
      },
      onUnreadable: (status, message) => void unreadable.push(`${status} ${message}`),
      onClose: (error) => void closes.push(error),
    },
  });
  return {
    connection,
    socket,
    requests,
    closes,
    unreadable,
    send: (text) => void socket.emit("data", Buffer.from(text, "latin1")),
  };
}

/** A request with a host, and a body where there is one. */
export function requestText(line: string, fields: readonly string[] = [], body = ""): string {
  const length = body === "" ? [] : [`Content-Length: ${body.length}`];
  return `${[`${line} HTTP/1.1`, "Host: a", ...fields, ...length, "", ""].join("\r\n")}${body}`;
}
