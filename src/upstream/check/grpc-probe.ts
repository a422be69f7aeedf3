/** gRPC probe: asks by gRPC's health service. Watch tells of changes at once; Check shows that the server still answers. */
import { Code } from "@connectrpc/connect";
import { statusName, statusOk } from "../../wire/status.ts";
import type { UpstreamConnection } from "../connection.ts";
import { callHealth } from "./health-call.ts";
import type { OnFinding, Probe, ProbeTarget } from "./probe.ts";

export interface GrpcProbeOptions extends ProbeTarget {
  readonly service: string;
  /** What Watch says, between the checks. */
  readonly onWord: OnFinding;
}

/**
 * A PING per interval would show a dead server, too, but grpc-go ends connections that are pinged more than every 5 minutes. So it is a
 * Check, of which only the coming of an answer counts while Watch is open.
 */
export class GrpcProbe implements Probe {
  readonly #connection: UpstreamConnection;
  readonly #options: GrpcProbeOptions;
  #endCheck: (() => void) | undefined;
  #endWatch: (() => void) | undefined;
  /** What Watch said last, while it is open. */
  #word: boolean | undefined;
  /** Watch is there, as far as is known. */
  #watchable = true;

  constructor(connection: UpstreamConnection, options: GrpcProbeOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  ask(done: OnFinding): void {
    // a server that takes one stream at a time, and that is Watch
    if (this.#connection.room <= 0)
      return this.#word === undefined ? done("failed", "no stream left") : this.#say(done);
    let word: boolean | undefined;
    this.#endCheck = callHealth(this.#connection, this.#callOptions("Check"), {
      onWord: (serving) => {
        word = serving;
      },
      onEnd: (status) => {
        this.#endCheck = undefined;
        this.#answered(status, word, done);
        this.#watch();
      },
    });
  }

  stop(): void {
    this.#endCheck?.();
    this.#endWatch?.();
    this.#endCheck = undefined;
    this.#endWatch = undefined;
  }

  #answered(status: number | undefined, word: boolean | undefined, done: OnFinding): void {
    if (status === undefined || (status === statusOk && word === undefined)) return done("failed", "no answer");
    const known = status === statusOk || status === Code.Unimplemented || status === Code.NotFound;
    if (known && this.#word !== undefined) return this.#say(done);
    if (status === Code.Unimplemented) return done("serving"); // it has no health service: that it answers must do
    if (status === Code.NotFound) return done("not_serving", `it knows no service "${this.#options.service}"`);
    if (status !== statusOk) return done("failed", `health check ended with ${statusName(status)}`);
    tell(word === true, done);
  }

  #say(done: OnFinding): void {
    tell(this.#word === true, done);
  }

  #watch(): void {
    if (!this.#watchable || this.#endWatch !== undefined || this.#connection.room <= 0) return;
    this.#endWatch = callHealth(this.#connection, this.#callOptions("Watch"), {
      onWord: (serving) => {
        this.#word = serving;
        tell(serving, this.#options.onWord);
      },
      onEnd: (status) => {
        this.#endWatch = undefined;
        this.#word = undefined;
        // health.proto: this one isn't to be called again, after any other end it is; the next check does
        if (status === Code.Unimplemented) this.#watchable = false;
      },
    });
  }

  #callOptions<Method extends "Check" | "Watch">(method: Method) {
    const { service, authority, secure } = this.#options;
    return { method, service, authority, secure };
  }
}

function tell(serving: boolean, told: OnFinding): void {
  if (serving) told("serving");
  else told("not_serving", "the server says that it doesn't serve");
}
