/** Layout: how the replies of many endpoints become one. Pure functions on bytes: no schema, no I/O. */
import type { RpcStatus } from "../wire/rpc-status.ts";

/** How the replies of many endpoints become one. */
export interface Layout {
  /** "wrap", "merge", "talos": what a configuration calls it. */
  readonly name: string;
  /**
   * A leg's message as part of the joined reply. The joined reply of a unary call is its parts, one after the other; in a stream each
   * part is a message of its own.
   *
   * @param reply identity-coded protobuf; not changed, and perhaps the result itself
   * @param stream the method answers with a stream
   * @throws ConnectError `internal` for a message that isn't of the layout's shape; to be answered with `fail()`
   */
  annotate(leg: LegInfo, reply: Uint8Array, stream: boolean): Uint8Array;
  /**
   * A failed leg as part of the joined reply.
   *
   * @returns undefined where the layout has no entry for it: then the whole call fails, with this status
   */
  fail(leg: LegInfo, status: RpcStatus, stream: boolean): Uint8Array | undefined;
}

/** Where a message comes from. */
export interface LegInfo {
  /** The endpoint's name. */
  readonly backend: string;
  /** Milliseconds since the call was sent to it, fractions kept. */
  readonly elapsedMs: number;
  /**
   * The reply is joined already, in this layout, by a Manifold that the leg went to: to be passed as it is. Default false. Only `wrap` has
   * to be told; in `merge` the elements say it themselves.
   */
  readonly nested?: boolean;
}
