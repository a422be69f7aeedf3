/** One HTTP/1.1 connection of a hand-made client, with one request on it; every byte is the test's. */
import { connect, type Socket } from "node:net";
import type { FieldPair } from "./hpack.ts";
import { Http1Reader } from "./http1-reader.ts";
import type { WireResponse } from "./wire-response.ts";

export class Http1Call implements WireResponse {
  readonly socket: Socket;
  headers: FieldPair[] = [];
  trailers: FieldPair[] | undefined;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  readonly reset = undefined;
  cut = false;
  /** All that came. */
  readonly raw: Buffer[] = [];
  /** Final responses. */
  responses = 0;
  /** The other side has closed. */
  closed = false;
  /** What no recipient may accept. */
  malformed: string | undefined;
  readonly finished: Promise<void>;
  #finish!: () => void;

  /** Connects, and sends these bytes at once. */
  constructor(port: number, request: Buffer | string) {
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    const reader = new Http1Reader("response", {
      onHead: (startLine, fields) => this.#onHead(startLine, fields),
      onBody: (bytes) => {
        this.chunks.push(bytes);
        this.bytes += bytes.length;
      },
      onEnd: (trailers) => {
        if (trailers.length > 0) this.trailers = trailers;
        this.ended = true;
        this.#finish();
      },
    });
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.write(typeof request === "string" ? Buffer.from(request, "latin1") : request);
    this.socket.on("data", (chunk: Buffer) => {
      this.raw.push(chunk);
      try {
        reader.push(chunk);
      } catch (error) {
        this.malformed = String(error);
        this.socket.destroy();
      }
    });
    this.socket.on("error", () => {});
    this.socket.on("end", () => {
      if (this.malformed === undefined) reader.finish();
    });
    this.socket.on("close", () => {
      this.closed = true;
      if (!this.ended) this.cut = true;
      this.#finish();
    });
  }

  get done(): boolean {
    return this.ended || this.cut;
  }

  /** All that came, as a binary string. */
  get text(): string {
    return Buffer.concat(this.raw).toString("latin1");
  }

  field(name: string, from: "headers" | "trailers" = "headers"): string | undefined {
    return this[from]?.find(([known]) => known === name)?.[1];
  }

  /** Any bytes. */
  send(bytes: Buffer | string): void {
    if (!this.closed) this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  #onHead(startLine: string, fields: FieldPair[]): void {
    const [, status = ""] = /^HTTP\/1\.1 (\d{3}) [^\r\n\0]*$/.exec(startLine) ?? [];
    if (status === "") throw new Error(`status line ${JSON.stringify(startLine)}`);
    if (status.startsWith("1")) return;
    this.responses++;
    this.headers = [[":status", status], ...fields];
  }
}

/** Bytes of a request, with a Host and any other lines; a body brings its content-length along. */
export function http1Request(line: string, fields: readonly FieldPair[], body?: Buffer | string): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : body;
  const length: FieldPair[] = bytes === undefined ? [] : [["Content-Length", String(bytes.length)]];
  const lines = [["Host", "test.example"], ...fields, ...length].map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"), bytes ?? Buffer.alloc(0)]);
}

/** One chunk of a body. */
export function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

/** Behind the last chunk. */
export const lastChunk = Buffer.from("0\r\n\r\n");
