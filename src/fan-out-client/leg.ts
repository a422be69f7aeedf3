/** Legs of a fan-out, as a client reads them: an answer or an error, and whose it is. */
import type { ConnectError } from "@connectrpc/connect";
import type { LegInfo } from "../gen/manifold/v1/fanout_pb.ts";
import { errorOfLeg } from "./errors.ts";

/** A leg as the layout `wrap` has it, whatever its answers are: any message that protoc-gen-manifold calls `...Leg`. */
export interface WrappedLeg<Reply> {
  info?: LegInfo | undefined;
  reply?: Reply | undefined;
}

/** What came of one leg: a reply or an error. */
export type Leg<Reply> = {
  /** Name of the backend. */
  readonly backend: string;
  /** Milliseconds from the proxy's call to this. */
  readonly elapsedMs: number;
} & (
  | { readonly reply: Reply; readonly error?: undefined }
  | { readonly error: ConnectError; readonly reply?: undefined }
);

/** Reads a message of a stream, or one of the legs of a reply. */
export function legOf<Reply>({ info, reply }: WrappedLeg<Reply>): Leg<Reply> {
  const { seconds = 0n, nanos = 0 } = info?.elapsed ?? {};
  const from = { backend: info?.backend ?? "", elapsedMs: Number(seconds) * 1000 + nanos / 1e6 };
  if (info?.status === undefined && reply !== undefined) return { ...from, reply };
  return { ...from, error: errorOfLeg(info?.status) };
}

/** Reads the legs of a reply, in its order. */
export function legsOf<Reply>(reply: { legs: readonly WrappedLeg<Reply>[] }): Leg<Reply>[] {
  return reply.legs.map(legOf);
}
