/** A response as it came, over HTTP/1.1 or HTTP/2: what both hand-made clients remember of it. */
import type { FieldPair } from "./hpack.ts";

export interface WireResponse {
  /** `:status` first; empty until they came. */
  readonly headers: FieldPair[];
  readonly trailers: FieldPair[] | undefined;
  readonly chunks: Buffer[];
  readonly bytes: number;
  /** It came whole. */
  readonly ended: boolean;
  /** The code of an RST_STREAM. */
  readonly reset: number | undefined;
  /** The connection ended before it. */
  readonly cut: boolean;
  readonly done: boolean;
  /** Settled once it is done. */
  readonly finished: Promise<void>;
  /** The first value of a header or trailer. */
  field(name: string, from?: "headers" | "trailers"): string | undefined;
}
