/** HTTP/1.1 messages read by hand (RFC 9112), as strictly as a proxy has to write them: one after another on a connection. */
import type { FieldPair } from "./hpack.ts";

export interface Http1Events {
  /** A head, interim ones too. Fields in order, names in lower case. */
  onHead(startLine: string, fields: FieldPair[]): void;
  onBody(bytes: Buffer): void;
  /** The message is whole. */
  onEnd(trailers: FieldPair[]): void;
}

export class Http1Reader {
  readonly #events: Http1Events;
  readonly #role: "request" | "response";
  #rest: Buffer = Buffer.alloc(0);
  #state: "head" | "body" | "chunk" | "trailers" | "close" = "head";
  /** Bytes of body or chunk that are still to come. */
  #left = 0;

  constructor(role: "request" | "response", events: Http1Events) {
    this.#role = role;
    this.#events = events;
  }

  /** Bytes of a message that has begun are missing. */
  get isWithin(): boolean {
    return this.#state !== "head" || this.#rest.length > 0;
  }

  /** @throws Error for what no recipient may accept */
  push(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#step()) {}
  }

  /** The peer has closed: behind a response without a length that is its end. */
  finish(): void {
    if (this.#state === "close") this.#end([]);
  }

  /** False: more has to come first. */
  #step(): boolean {
    if (this.#rest.length === 0) return false;
    if (this.#state === "head" || this.#state === "trailers") return this.#readSection();
    if (this.#state === "chunk" && this.#left <= 0) return this.#readChunkSize();
    const size = this.#state === "close" ? this.#rest.length : Math.min(this.#left, this.#rest.length);
    const bytes = this.#take(size);
    this.#left -= size;
    this.#events.onBody(bytes);
    if (this.#state === "body" && this.#left === 0) this.#end([]);
    else if (this.#state === "chunk" && this.#left === 0) this.#left = -1; // the line end behind its data
    return true;
  }

  #readSection(): boolean {
    const isEmpty = this.#state === "trailers" && this.#rest.indexOf("\r\n") === 0;
    const stop = isEmpty ? 0 : this.#rest.indexOf("\r\n\r\n");
    if (stop === -1) return false;
    const text = this.#take(isEmpty ? 2 : stop + 4).toString("latin1");
    const lines = text.trimEnd() === "" ? [] : text.slice(0, -4).split("\r\n");
    if (this.#state === "trailers") this.#end(lines.map(parseField));
    else this.#onHead(lines[0] ?? "", lines.slice(1).map(parseField));
    return true;
  }

  #onHead(startLine: string, fields: FieldPair[]): void {
    const values = (name: string) => fields.filter(([known]) => known === name).map(([, value]) => value);
    const lengths = values("content-length");
    const codings = values("transfer-encoding");
    if (lengths.length + codings.length > 1) throw new Error(`two lengths: ${lengths} ${codings}`);
    this.#events.onHead(startLine, fields);
    const status = this.#role === "response" ? Number(startLine.split(" ")[1]) : 0;
    if (status >= 100 && status < 200) return;
    if (codings.length > 0) {
      if (codings[0] !== "chunked") throw new Error(`transfer-encoding ${codings}`);
      this.#state = "chunk";
      this.#left = 0;
    } else if (Number(lengths[0] ?? 0) > 0) {
      this.#state = "body";
      this.#left = Number(lengths[0]);
    } else if (this.#role === "response" && lengths.length === 0 && status !== 204 && status !== 304) {
      this.#state = "close";
    } else this.#end([]);
  }

  #readChunkSize(): boolean {
    const stop = this.#rest.indexOf("\r\n");
    if (stop === -1) return false;
    if (this.#left === -1) {
      if (this.#take(2).toString("latin1") !== "\r\n") throw new Error("chunk longer than its size");
      this.#left = 0;
      return true;
    }
    const line = this.#take(stop + 2).toString("latin1", 0, stop);
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`);
    this.#left = Number.parseInt(line, 16);
    if (this.#left === 0) this.#state = "trailers";
    return true;
  }

  #take(size: number): Buffer {
    const bytes = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return bytes;
  }

  #end(trailers: FieldPair[]): void {
    this.#state = "head";
    this.#events.onEnd(trailers);
  }
}

function parseField(line: string): FieldPair {
  const [, name = "", value = ""] = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([^\r\n\0]*?)[ \t]*$/.exec(line) ?? [];
  if (name === "") throw new Error(`no field line: ${JSON.stringify(line)}`);
  return [name.toLowerCase(), value];
}
