/** Hold: keeps what comes of a request until it is known who takes it. No credit is given, so it is bounded by the window. */
import type { HttpStream, ResetCause, StreamListener } from "../http2/api.ts";
import type { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";

export class Hold implements StreamListener {
  /** The body had not begun when this was made. */
  readonly bodyless: boolean;
  readonly #stream: HttpStream;
  #held: ((listener: StreamListener) => void)[] = [];
  #over = false;

  constructor(stream: HttpStream) {
    this.#stream = stream;
    this.bodyless = stream.remoteEnded;
  }

  /** The caller has gone: nobody need take it any more. */
  get over(): boolean {
    return this.#over;
  }

  /** From now on the listener is told all, first what was held. */
  passTo(listener: StreamListener): void {
    this.#stream.listener = listener;
    for (const tell of this.#held.splice(0)) tell(this.#stream.listener);
  }

  onHeaders(): void {} // of a response: not on this side

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#held.push((listener) => listener.onData(bytes, start, stop, end));
  }

  onTrailers(fields: Field[]): void {
    this.#held.push((listener) => listener.onTrailers(fields));
  }

  onSent(): void {} // nothing is sent while it holds

  onReset(_code: ErrorCode, _cause: ResetCause): void {
    this.#over = true;
    this.#held = [];
  }

  onRefused(error: Error): void {
    this.#held.push((listener) => listener.onRefused?.(error));
  }
}
