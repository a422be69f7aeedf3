/** Checker: asks one endpoint again and again whether it serves, and tells it what its calls should go by. */
import type { Log } from "../../observe/log.ts";
import type { UpstreamConnection } from "../connection.ts";
import type { Endpoint } from "../endpoint.ts";
import { type Finding, Health } from "../health.ts";
import type { Dial, DialListener, DialOptions } from "../transport.ts";
import { GrpcProbe } from "./grpc-probe.ts";
import { HttpProbe } from "./http-probe.ts";
import type { CheckedHealth } from "./options.ts";
import type { OnFinding, Probe } from "./probe.ts";

export interface CheckerOptions {
  readonly health: CheckedHealth;
  /** Connections of its own: a check isn't held up by calls, nor takes a stream from them. */
  readonly dial: Dial;
  readonly dialTcp: Dial;
  readonly log: Log | undefined;
  /** Name of the upstream, for the log. */
  readonly upstream: string;
  /** A check begins. */
  onCheck(): void;
}

/** Checks of many proxies, begun at the same time, spread over this share of the interval. */
const jitter = 0.1;

/** Milliseconds after the loss of a connection with Watch, which is news of the endpoint, to the next check. */
const afterLossMs = 1_000;

export class Checker {
  readonly #endpoint: Endpoint;
  readonly #options: CheckerOptions;
  readonly #health: Health;
  /** Of the next check, or of the time that this one has. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #cancelDial: (() => void) | undefined;
  #connection: UpstreamConnection | undefined;
  #probe: Probe | undefined;
  #checking = false;
  #closed = false;

  constructor(endpoint: Endpoint, options: CheckerOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#health = new Health(options.health.thresholds);
    this.#wait(0);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#disconnect();
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#check(), ms);
    this.#timer.unref();
  }

  #check(): void {
    const { health, onCheck } = this.#options;
    onCheck();
    this.#checking = true;
    this.#timer = setTimeout(() => {
      this.#disconnect();
      this.#done("failed", `no answer within ${health.timeoutMs} ms`);
    }, health.timeoutMs);
    this.#timer.unref();
    if (this.#probe === undefined) this.#dial();
    else this.#ask();
  }

  #dial(): void {
    const { health, dial, dialTcp } = this.#options;
    const listener: DialListener = {
      onOpen: (connection) => this.#opened(connection),
      onFailed: (error) => {
        this.#cancelDial = undefined;
        this.#done("failed", error.message);
      },
      onRoom() {},
      onGoaway: () => this.#lost(),
      onClose: () => this.#lost(),
    };
    const how = health.question.kind === "tcp" ? dialTcp : dial;
    this.#cancelDial = how(this.#dialOptions(), listener);
  }

  /** A stream of Watch is idle for as long as nothing changes. */
  #dialOptions(): DialOptions {
    const { dialOptions } = this.#endpoint;
    const { timeoutMs } = this.#options.health;
    return { ...dialOptions, timeoutMs, http2: { ...dialOptions.http2, streamIdleTimeoutMs: 0 } };
  }

  #opened(connection: UpstreamConnection): void {
    this.#cancelDial = undefined;
    const { question } = this.#options.health;
    if (question.kind === "tcp") {
      connection.destroy();
      return this.#done("serving");
    }
    const { authority, secure } = this.#endpoint;
    const onWord: OnFinding = (finding, why) => this.#observe(finding, why);
    this.#connection = connection;
    this.#probe =
      question.kind === "grpc"
        ? new GrpcProbe(connection, { authority, secure, service: question.service, onWord })
        : new HttpProbe(connection, { authority, secure, path: question.path, expect: question.expect });
    this.#ask();
  }

  #ask(): void {
    this.#probe?.ask((finding, why) => this.#done(finding, why));
  }

  /** The connection takes nothing more. A check under way on it has failed; the next one connects anew. */
  #lost(): void {
    if (this.#connection === undefined) return;
    this.#disconnect();
    if (this.#checking) return this.#done("failed", "connection lost");
    const { question, intervalMs } = this.#options.health;
    if (question.kind !== "grpc") return; // HTTP/1.1 connections that aren't used are closed all the time
    clearTimeout(this.#timer);
    this.#wait(Math.min(intervalMs, afterLossMs));
  }

  #done(finding: Finding, why?: string): void {
    if (!this.#checking || this.#closed) return;
    this.#checking = false;
    clearTimeout(this.#timer);
    this.#wait(this.#options.health.intervalMs * (1 + jitter * (2 * Math.random() - 1)));
    this.#observe(finding, why);
  }

  #observe(finding: Finding, why: string | undefined): void {
    if (this.#closed || !this.#health.observe(finding)) return;
    const { log, upstream } = this.#options;
    const { name, address } = this.#endpoint;
    const fields = { upstream, endpoint: name, address };
    if (this.#health.healthy) log?.info(fields, "endpoint is healthy");
    else log?.warn({ ...fields, reason: why }, "endpoint is unhealthy");
    this.#endpoint.healthy = this.#health.healthy;
  }

  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = undefined; // first: ending it is told, too
    this.#probe?.stop();
    this.#probe = undefined;
    this.#cancelDial?.();
    this.#cancelDial = undefined;
    connection?.destroy();
  }
}
