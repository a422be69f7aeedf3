/** Nodes: hand-made upstreams that a fan-out goes to, and what its caller reads of their replies. */
import { create, toBinary } from "@bufbuild/protobuf";
import { read, wrapped } from "../layout/messages.ts";
import { type CallResult, envelope, openEnvelopes } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep } from "../support/until.ts";
import {
  okHeaders,
  okTrailers,
  reply,
  startUpstream,
  type Upstream,
  type UpstreamOptions,
} from "../support/upstream.ts";

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

/** Of the methods that `answerAsTold` has, whatever their service. */
export const kinds = {
  unary: ["*/Unary"],
  client_streaming: ["*/Collect"],
  server_streaming: ["*/Count"],
  bidi_streaming: ["*/Chat"],
};

/**
 * Answers by the method: Unary the request, Collect how many there were, Count three messages, Chat each request. The header
 * x-do tells single nodes to do otherwise: "0:silent,1:fail 5 gone,2:after 50" (milliseconds).
 */
export async function answerAsTold(stream: PeerStream, node: number): Promise<void> {
  const told =
    stream
      .field("x-do")
      ?.split(",")
      .find((each) => each.startsWith(`${node}:`)) ?? "";
  const [what, value = "", ...more] = told.slice(2).split(" ");
  if (what === "silent") return;
  if (what === "fail") {
    const status: FieldPair[] = [
      ["grpc-status", value],
      ["grpc-message", more.join(" ")],
    ];
    return stream.sendHeaders([...okHeaders, ...status], { end: true });
  }
  if (what === "after") await sleep(Number(value));
  const method = stream.field(":path")!.split("/")[2];
  let answered = 0;
  stream.sendHeaders([...okHeaders, ["x-node", `${node}`]]);
  stream.onMore = () => {
    const messages = openEnvelopes(Buffer.concat(stream.chunks)) ?? [];
    const send = (text: string) => stream.sendData(envelope(replyOf(`${text} of ${node}`)));
    if (method === "Chat") for (; answered < messages.length; answered++) send(messages[answered]!.bytes.toString());
    if (!stream.ended) return;
    stream.onMore = undefined;
    if (method === "Unary") send(messages[0]!.bytes.toString());
    else if (method === "Collect") send(`${messages.length}`);
    else if (method === "Count") for (const number of ["1", "2", "3"]) send(number);
    stream.sendTrailers([...okTrailers, ["x-node-end", `${node}`]]);
  };
  stream.onMore();
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
