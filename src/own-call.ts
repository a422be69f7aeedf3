/** Own call: a call that the proxy makes for itself, such as to ask an upstream for its schema. It goes the way of all calls. */
import { ConnectError } from "@connectrpc/connect";
import { InboundCall, type Origin } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { Field, FieldKind } from "./http2/field.ts";
import { startTurn } from "./http2/turn.ts";
import { Relay } from "./relay.ts";
import type { RelayContext } from "./relay-context.ts";
import { ReflectedSchema } from "./schema/reflected.ts";
import type { ReflectionCall, ReflectionLimits } from "./schema/reflection.ts";
import type { Schema } from "./schema/schema.ts";
import type { CallTarget } from "./upstream/upstream.ts";
import { EnvelopeReader, envelope, Handling } from "./wire/envelope.ts";
import { statusOfFields } from "./wire/rpc-status.ts";

const ourselves: Origin = { peer: { address: "", port: 0 }, secure: false };

/**
 * Makes calls of streaming methods to an upstream: messages in, the request's end, messages out. One way after the other, which HTTP/1.1
 * can carry, too.
 */
function callerOf(upstream: CallTarget, context: RelayContext): ReflectionCall {
  // its schema is what is asked for
  const own: RelayContext = { ...context, onCall: undefined, schemaOf: () => undefined };
  return (path, messages, limits) =>
    new Promise((resolve, reject) => {
      startTurn();
      context.kinds.set(upstream.name, path, "stream");
      const stream = new OwnStream(limits, (error, replies) =>
        error === undefined ? resolve(replies) : reject(error),
      );
      const call = new InboundCall(requestFields(upstream, path, limits), ourselves);
      const relay = new Relay(call, stream, own);
      stream.listener = relay;
      relay.start({ upstream });
      messages.forEach((message, at) => {
        const bytes = envelope(0, message);
        stream.remoteEnded = at === messages.length - 1;
        stream.listener.onData(bytes, 0, bytes.length, stream.remoteEnded);
      });
    });
}

/**
 * Looks up the schema of an upstream; those by reflection are asked for once and kept as long as their upstream.
 *
 * @param context the context of the calls that ask: it has this look-up itself
 */
export function schemasOf(context: () => RelayContext): (upstream: CallTarget) => Schema | undefined {
  const reflected = new WeakMap<CallTarget, Schema>();
  return (upstream) => {
    if (upstream.schema !== "reflection") return upstream.schema;
    const known = reflected.get(upstream) ?? new ReflectedSchema(callerOf(upstream, context()));
    reflected.set(upstream, known);
    return known;
  };
}

function requestFields(upstream: CallTarget, path: string, { timeoutMs }: ReflectionLimits): Field[] {
  return [
    new Field(":method", "POST"),
    new Field(":scheme", "http"),
    new Field(":path", path),
    new Field(":authority", upstream.endpoints[0]?.address ?? upstream.name),
    new Field("content-type", "application/grpc+proto"),
    new Field("grpc-timeout", `${Math.ceil(timeoutMs)}m`),
  ];
}

type Done = (error: ConnectError | undefined, replies: Uint8Array[]) => void;

/** The caller's side of such a call: gathers the replies. */
class OwnStream implements HttpStream {
  listener!: StreamListener;
  remoteEnded = false;
  localEnded = false;
  closed = false;
  readonly #done: Done;
  readonly #replies: Uint8Array[] = [];
  readonly #reader: EnvelopeReader;
  #left: number;

  constructor({ maxBytes }: ReflectionLimits, done: Done) {
    this.#done = done;
    this.#left = maxBytes;
    this.#reader = new EnvelopeReader({
      handlingOf: (_flags, length) => (length <= this.#left ? Handling.gather : Handling.refuse),
      onMessage: (_flags, payload) => {
        this.#left -= payload.length;
        this.#replies.push(new Uint8Array(payload));
      },
      onRefuse: () => this.#end(new ConnectError(`replies of more than ${maxBytes} bytes`)),
    });
  }

  sendHeaders(fields: readonly Field[], end: boolean): void {
    const isHead = fields[0]?.kind === FieldKind.status;
    if (!end || this.closed) return;
    const status = statusOfFields(isHead ? fields.slice(1) : fields);
    if (status?.code === 0) return this.#end(undefined);
    this.#end(new ConnectError(status?.message ?? "no status", status?.code));
  }

  sendData(bytes: Uint8Array, start: number, stop: number): boolean {
    this.#reader.push(bytes, start, stop);
    return true;
  }

  end(): void {}
  consume(): void {}
  dropQueue(): void {}

  reset(): void {
    this.#end(new ConnectError("the call was reset"));
  }

  #end(error: ConnectError | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.localEnded = true;
    this.#done(error, this.#replies);
    if (error !== undefined) this.listener.onReset(ErrorCode.cancel, "peer");
  }
}
