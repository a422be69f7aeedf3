/** A transport for tests: what is dialled is written down, and the test says how it ends. */
import type { Call } from "../../src/call.ts";
import type { Http2Connection } from "../../src/http2/connection.ts";
import type { Endpoint } from "../../src/upstream/endpoint.ts";
import type { DialListener, DialOptions } from "../../src/upstream/transport.ts";
import type { Waiter } from "../../src/upstream/waiter.ts";

/** The members of a connection that an upstream looks at, and a peer that the test plays. */
export class FakeConnection {
  closed = false;
  resetsSent = 0;
  streamCount = 0;
  /** The most that were ever open. */
  peak = 0;
  limit: number;
  shutdowns = 0;
  readonly dial: FakeDial;

  constructor(dial: FakeDial, limit: number) {
    this.dial = dial;
    this.limit = limit;
  }

  get room(): number {
    return this.closed || this.shutdowns > 0 ? 0 : Math.max(0, this.limit - this.streamCount);
  }

  /** What a waiter does with a connection. */
  openStream(): void {
    if (this.room <= 0) throw new Error("a stream was opened without room");
    this.streamCount++;
    this.peak = Math.max(this.peak, this.streamCount);
  }

  endStream(reset = false): void {
    if (this.streamCount === 0) throw new Error("no stream to end");
    this.streamCount--;
    if (reset) this.resetsSent++;
    if (this.shutdowns === 0 && !this.closed) this.dial.listener.onRoom();
  }

  shutdown(): void {
    this.shutdowns++;
  }

  goaway(): void {
    this.limit = 0;
    this.dial.listener.onGoaway(0);
  }

  lose(): void {
    this.closed = true;
    this.streamCount = 0;
    this.dial.listener.onClose(new Error("connection reset"));
  }
}

/** One attempt to connect. */
export class FakeDial {
  readonly options: DialOptions;
  readonly listener: DialListener;
  cancelled = false;
  connection: FakeConnection | undefined;

  constructor(options: DialOptions, listener: DialListener) {
    this.options = options;
    this.listener = listener;
  }

  open(limit = 100): FakeConnection {
    this.connection = new FakeConnection(this, limit);
    this.listener.onOpen(this.connection as unknown as Http2Connection);
    return this.connection;
  }

  fail(message = "connect ECONNREFUSED 127.0.0.1:1"): void {
    this.listener.onFailed(new Error(message));
  }
}

export class FakeTransport {
  readonly dials: FakeDial[] = [];

  readonly dial = (options: DialOptions, listener: DialListener) => {
    const dial = new FakeDial(options, listener);
    this.dials.push(dial);
    return () => {
      dial.cancelled = true;
    };
  };

  /** Attempts that neither connected nor were looked at by this before. */
  take(): FakeDial[] {
    return this.dials.splice(0);
  }

  /** The only new attempt. */
  one(): FakeDial {
    const dials = this.take();
    if (dials.length !== 1) throw new Error(`expected one attempt to connect, not ${dials.length}`);
    return dials[0]!;
  }
}

/** A waiter that opens a stream and keeps what it was told. */
export class FakeWaiter implements Waiter {
  connection: FakeConnection | undefined;
  endpoint: Endpoint | undefined;
  error: (Error & { cause?: unknown }) | undefined;
  told = 0;

  onConnection(connection: Http2Connection, endpoint: Endpoint): void {
    this.told++;
    this.connection = connection as unknown as FakeConnection;
    this.endpoint = endpoint;
    this.connection.openStream();
  }

  onUnavailable(error: Error): void {
    this.told++;
    this.error = error;
  }
}

export function fakeCall(changes: Partial<Call> & { headers?: Record<string, string[]> } = {}): Call {
  const { headers = {}, path = "/acme.v1.Users/Get", ...rest } = changes;
  const [, service = "", method = ""] = path.split("/");
  return {
    path,
    service,
    method,
    authority: "users.example",
    protocol: "grpc",
    peer: { address: "127.0.0.1", port: 40_000 },
    secure: false,
    timeoutMs: undefined,
    startedAt: 0,
    header: (name) => headers[name]?.[0],
    headerValues: (name) => headers[name] ?? [],
    ...rest,
  };
}
