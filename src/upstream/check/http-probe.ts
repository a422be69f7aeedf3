/** HTTP probe: asks by a GET whose status is the answer. */
import type { HttpStream, StreamListener } from "../../http2/api.ts";
import { ErrorCode } from "../../http2/errors.ts";
import { Field } from "../../http2/field.ts";
import { startTurn } from "../../http2/turn.ts";
import type { UpstreamConnection } from "../connection.ts";
import type { OnFinding, Probe, ProbeTarget } from "./probe.ts";

export interface HttpProbeOptions extends ProbeTarget {
  readonly path: string;
  /** Any of these statuses is good. */
  readonly expect: readonly number[];
}

/** Bytes of an answer that are read, to keep the connection; nobody looks at them. */
const maxBody = 64 << 10;

export class HttpProbe implements Probe, StreamListener {
  readonly #connection: UpstreamConnection;
  readonly #options: HttpProbeOptions;
  #stream: HttpStream | undefined;
  #done: OnFinding | undefined;
  #bytes = 0;

  constructor(connection: UpstreamConnection, options: HttpProbeOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  ask(done: OnFinding): void {
    if (this.#connection.room <= 0) return done("failed", "the answer before hasn't ended");
    startTurn();
    const { path, authority, secure } = this.#options;
    this.#done = done;
    this.#bytes = 0;
    this.#stream = this.#connection.request(
      [
        new Field(":method", "GET"),
        new Field(":scheme", secure ? "https" : "http"),
        new Field(":authority", authority),
        new Field(":path", path),
        new Field("user-agent", "manifold"),
      ],
      true,
      this,
    );
  }

  stop(): void {
    this.#done = undefined;
    if (this.#stream?.closed === false) this.#stream.reset(ErrorCode.cancel);
  }

  onHeaders(fields: Field[]): void {
    const status = Number(fields[0]?.value);
    if (status < 200) return;
    if (this.#options.expect.includes(status)) this.#found("serving");
    else this.#found(status === 503 ? "not_serving" : "failed", `HTTP ${status} at ${this.#options.path}`);
  }

  onData(_bytes: Uint8Array, start: number, stop: number): void {
    this.#bytes += stop - start;
    if (this.#bytes > maxBody) this.#stream?.reset(ErrorCode.cancel);
    else this.#stream?.consume(stop - start);
  }

  onTrailers(): void {}
  onSent(): void {}

  onReset(): void {
    this.#found("failed", "no answer");
  }

  #found(...finding: Parameters<OnFinding>): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(...finding);
  }
}
