/** One stream of the hand-made peer: what came on it, and what the test sends on it. */
import { Flag, FrameType, frame, resetFrame, Setting } from "./frames.ts";
import type { H2Peer } from "./h2-peer.ts";
import type { FieldPair } from "./hpack.ts";

export class PeerStream {
  readonly peer: H2Peer;
  readonly id: number;
  /** The request's fields, or the response's; empty until they came. Interim responses are in `interim`. */
  headers: FieldPair[] = [];
  trailers: FieldPair[] | undefined;
  readonly interim: FieldPair[][] = [];
  readonly chunks: Buffer[] = [];
  bytes = 0;
  /** END_STREAM came. */
  ended = false;
  /** END_STREAM came on the first header block: a Trailers-Only response. */
  endedByHeaders = false;
  /** The code of the RST_STREAM that came. */
  reset: number | undefined;
  /** `performance.now()` of that. */
  resetAt = 0;
  /** The connection closed before the stream ended. */
  cut = false;
  /** Bytes the other side still takes on this stream. */
  window: number;
  /** Settled once nothing more comes: ended, reset or cut. */
  readonly finished: Promise<void>;
  onMore: (() => void) | undefined;
  #finish!: () => void;
  #queue: Buffer[] = [];
  #queued = 0;
  #endQueued: boolean | readonly FieldPair[] = false;
  /** This side has sent its last frame. */
  #over = false;

  constructor(peer: H2Peer, id: number) {
    this.peer = peer;
    this.id = id;
    this.window = peer.settings.get(Setting.initialWindowSize) ?? 65_535;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** The first value of a header or trailer. */
  field(name: string, from: "headers" | "trailers" = "headers"): string | undefined {
    return this[from]?.find(([known]) => known === name)?.[1];
  }

  get done(): boolean {
    return this.ended || this.reset !== undefined || this.cut;
  }

  /** Bytes that wait for the other side's window. */
  get queued(): number {
    return this.#queued;
  }

  sendHeaders(fields: readonly FieldPair[], { end = false }: { end?: boolean } = {}): void {
    this.peer.sendBlock(this.id, fields, end);
    if (end) this.#leave();
  }

  /** DATA as the windows allow; what they don't allow waits. */
  sendData(bytes: Buffer, { end = false }: { end?: boolean } = {}): void {
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (end) this.#endQueued = true;
    this.flush();
  }

  /** The last header block, after all DATA that waits. */
  sendTrailers(fields: readonly FieldPair[]): void {
    this.#endQueued = fields;
    this.flush();
  }

  sendReset(code: number): void {
    this.peer.send(resetFrame(this.id, code));
    this.#queue = [];
    this.#queued = 0;
    this.#leave();
    this.peer.streams.delete(this.id);
  }

  flush(): void {
    if (this.#over || this.reset !== undefined) return;
    const out: Buffer[] = [];
    let head = this.#queue[0];
    while (head !== undefined && (head.length === 0 || Math.min(this.window, this.peer.window) > 0)) {
      const size = Math.min(head.length, this.window, this.peer.window, 16_384);
      this.window -= size;
      this.peer.window -= size;
      this.#queued -= size;
      if (size === head.length) this.#queue.shift();
      else this.#queue[0] = head.subarray(size);
      const last = this.#queue.length === 0 && this.#endQueued === true;
      out.push(frame(FrameType.data, last ? Flag.endStream : 0, this.id, head.subarray(0, size)));
      if (last) this.#leave();
      head = this.#queue[0];
    }
    if (out.length > 0) this.peer.send(...out);
    if (head !== undefined) this.peer.block(this);
    else if (typeof this.#endQueued === "object") this.sendHeaders(this.#endQueued, { end: true });
  }

  onFields(fields: FieldPair[], end: boolean): void {
    const interim = fields[0]?.[0] === ":status" && fields[0][1].startsWith("1");
    if (interim) this.interim.push(fields);
    else if (this.headers.length === 0) {
      this.headers = fields;
      this.endedByHeaders = end;
    } else this.trailers = fields;
    this.#came(end);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (chunk.length > 0) this.chunks.push(Buffer.from(chunk));
    this.bytes += chunk.length;
    this.#came(end);
  }

  onReset(code: number): void {
    this.reset = code;
    this.resetAt = performance.now();
    this.peer.streams.delete(this.id);
    this.#finish();
    this.onMore?.();
  }

  lost(): void {
    if (this.done) return;
    this.cut = true;
    this.#finish();
    this.onMore?.();
  }

  #came(end: boolean): void {
    if (end) {
      this.ended = true;
      if (this.#over) this.peer.streams.delete(this.id);
      this.#finish();
    }
    this.onMore?.();
  }

  #leave(): void {
    this.#over = true;
    if (this.ended) this.peer.streams.delete(this.id);
  }
}
