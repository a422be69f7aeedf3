/** A proxy in memory: calls come on streams of the test's, and go to an upstream whose streams are the test's as well. */
import type { Admit, Origin, Peer, Protocol } from "../../src/call.ts";
import type { HttpStream, StreamListener } from "../../src/http2/api.ts";
import type { Field } from "../../src/http2/field.ts";
import { startTurn } from "../../src/http2/turn.ts";
import type { CallRecord } from "../../src/observe/call-record.ts";
import { createProxy, type Proxy, type ProxyOptions } from "../../src/proxy.ts";
import type { Destination } from "../../src/route/director.ts";
import type { Schema } from "../../src/schema/schema.ts";
import { Breaker, defaultBreaker } from "../../src/upstream/breaker.ts";
import type { Endpoint } from "../../src/upstream/endpoint.ts";
import type { Outcome } from "../../src/upstream/outlier.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import type { Waiter } from "../../src/upstream/waiter.ts";
import { fieldsOf, MemoryStream, type Pairs, pairsOf } from "./memory-stream.ts";

/** A request that has come to the upstream. */
export class UpstreamStream extends MemoryStream {
  readonly fields: [string, string][];
  /** It came with the end of its body. */
  readonly ended: boolean;

  constructor(fields: readonly Field[], end: boolean) {
    super();
    this.fields = pairsOf(fields);
    this.ended = end;
    this.localEnded = end;
  }
}

export interface MemoryProxyOptions {
  readonly protocols?: readonly Protocol[];
  readonly codecs?: readonly string[];
  readonly schema?: Schema;
  /** Bytes that the upstream's streams take at once. */
  readonly window?: number;
  /** Calls wait for a connection until `connect` is called. */
  readonly offline?: boolean;
  readonly director?: (upstream: Upstream) => Destination | Promise<Destination>;
  /** What is asked of calls, and services beside the proxy. */
  readonly proxy?: Partial<ProxyOptions>;
  /** Where calls come from, if not from 192.0.2.1. */
  readonly peer?: Partial<Peer>;
  /** The listener's gate. */
  readonly admit?: Admit | undefined;
}

export class MemoryProxy {
  /** The requests that came to the upstream, tries included. */
  readonly requests: UpstreamStream[] = [];
  readonly records: CallRecord[] = [];
  /** Attempts begun, and what the endpoint was told of those that are over. */
  begun = 0;
  readonly outcomes: Outcome[] = [];
  /** When the last call came, by `performance.now()`. */
  startedAt = 0;
  /** What the calls go to, for directors of the test's own. */
  readonly target: Upstream;
  readonly #proxy: Proxy;
  readonly #window: number;
  readonly #origin: Origin;
  #waiting: Waiter[] | undefined;
  readonly #endpoint = {
    name: "one",
    address: "192.0.2.2:1",
    secure: false,
    begin: () => this.begun++,
    report: (outcome: Outcome) => this.outcomes.push(outcome),
  } as unknown as Endpoint;

  constructor(options: MemoryProxyOptions = {}) {
    const { protocols = ["grpc"], codecs = ["proto"], schema, window = Number.POSITIVE_INFINITY, offline } = options;
    this.#window = window;
    this.#waiting = offline ? [] : undefined;
    const breaker = new Breaker(defaultBreaker, "memory");
    this.target = {
      name: "memory",
      protocols,
      codecs,
      schema,
      http: "2",
      endpoints: [],
      breaker,
      stats: breaker.stats,
      acquire: (_call, waiter) => this.#acquire(waiter),
      acquireAt: (_endpoint, _call, waiter) => this.#acquire(waiter),
      resolved: () => undefined,
      close() {},
    };
    const upstream = this.target;
    this.#proxy = createProxy({
      director: () => options.director?.(upstream) ?? { mode: "one-to-one", upstream },
      onCall: (record) => this.records.push(record),
      ...options.proxy,
    });
    this.#origin = {
      peer: { address: "192.0.2.1", port: 1, ...options.peer },
      secure: false,
      admit: options.admit,
    };
  }

  /** The only request, or the last of them. */
  get upstream(): UpstreamStream {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error("no request came to the upstream");
    return last;
  }

  /** A call comes; `end`: without a body. */
  call(fields: Pairs, end = false): MemoryStream {
    this.startedAt = startTurn();
    const stream = new MemoryStream();
    stream.remoteEnded = end;
    const listener = this.#proxy.accept({
      stream,
      fields: fieldsOf(fields),
      origin: this.#origin,
    });
    stream.listener = listener;
    return stream;
  }

  connect(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const waiter of waiting) this.#acquire(waiter);
  }

  #acquire(waiter: Waiter): (() => void) | undefined {
    if (this.#waiting !== undefined) {
      this.#waiting.push(waiter);
      return () => {
        this.#waiting = this.#waiting?.filter((one) => one !== waiter);
      };
    }
    waiter.onConnection(
      {
        room: 1,
        streamCount: 0,
        resetsSent: 0,
        closed: false,
        request: (fields, end, listener) => this.#open(fields, end, listener),
        shutdown() {},
        destroy() {},
      },
      this.#endpoint,
    );
    return undefined;
  }

  #open(fields: readonly Field[], end: boolean, listener: StreamListener): HttpStream {
    const stream = new UpstreamStream(fields, end);
    stream.window = this.#window;
    stream.listener = listener;
    this.requests.push(stream);
    return stream;
  }
}

/** Header fields of a call. */
export function request(contentType: string, more: Pairs = []): Pairs {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "api.example"],
    [":path", "/acme.Users/Get"],
    ["content-type", contentType],
    ...more,
  ];
}
