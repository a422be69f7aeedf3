/** Nodes: hand-made upstreams that a fan-out goes to, and what its caller reads of their replies. */
import { create, toBinary } from "@bufbuild/protobuf";
import { read, wrapped } from "../layout/messages.ts";
import { type CallResult, envelope } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { reply, startUpstream, type Upstream, type UpstreamOptions } from "../support/upstream.ts";

/** A port on which nobody listens: the first of all (tcpmux). */
export const deadUrl = "http://127.0.0.1:1";

export interface Nodes {
  readonly upstreams: readonly Upstream[];
  /** As a configuration has them: "node-0" and so on. */
  readonly endpoints: readonly { readonly name: string; readonly url: string }[];
  /** Replaces what answers a path, on all of them. */
  on(path: string, handler: (stream: PeerStream, node: number) => void): void;
  /** The newest call at each. */
  newest(): PeerStream[];
  close(): Promise<void>;
}

export async function startNodes(count: number, options: UpstreamOptions = {}): Promise<Nodes> {
  const upstreams = await Promise.all(Array.from({ length: count }, () => startUpstream(options)));
  return {
    upstreams,
    endpoints: upstreams.map(({ url }, node) => ({ name: `node-${node}`, url })),
    on(path, handler) {
      upstreams.forEach((upstream, node) => {
        upstream.handle(path, (stream) => handler(stream, node));
      });
    },
    newest: () => upstreams.map(({ calls }) => calls.at(-1)!),
    async close() {
      for (const upstream of upstreams) await upstream.close();
    },
  };
}

/** What the table of faults allows for each stream beside its reader's window: the frames and messages on their way. */
export const allowance = 256 << 10;

const [Reply, Leg, FanOut] = [wrapped("Reply"), wrapped("Leg"), wrapped("FanOut")];

/** A message of the nodes: `Reply { string value = 1; }`. */
export function replyOf(value: string): Buffer {
  return Buffer.from(toBinary(Reply, create(Reply, { value } as Record<string, unknown>)));
}

/** Answers a call with one message, once its request has come. */
export function say(value: string, trailers: readonly FieldPair[] = []): (stream: PeerStream) => void {
  return reply({ body: envelope(replyOf(value)), trailers: [["grpc-status", "0"], ...trailers] });
}

/** An entry of a wrapped reply: "node-0=value", or "node-1!14 message". */
// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
function entryOf({ info, reply: answer }: any): string {
  if (info.status === undefined) return `${info.backend}=${answer.value}`;
  return `${info.backend}!${info.status.code} ${info.status.message}`;
}

/** Entries of the one message of a unary call. */
export function entriesOf(result: CallResult): string[] {
  const [message, ...more] = result.messages ?? [];
  if (message === undefined || more.length > 0)
    throw new Error(`${result.messages?.length} messages: ${result.message}`);
  return entriesIn(message.bytes);
}

export function entriesIn(message: Uint8Array): string[] {
  return read(FanOut, message).legs.map(entryOf);
}

/** Entries of a stream, one for each message. */
export function streamedEntries(result: CallResult): string[] {
  return (result.messages ?? []).map(({ bytes }) => entryOf(read(Leg, bytes)));
}
