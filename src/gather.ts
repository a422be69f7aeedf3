/** Gather: when a fan-out has what it needs, and what becomes of the legs it doesn't. Counts only, no I/O. */

/** How the replies of a fan-out are waited for. */
export interface GatherPolicy {
  /** For all legs, for so many successes, or for the first success. Default "all". */
  readonly wait?: "all" | "first" | { readonly quorum: number };
  /** Milliseconds for one leg; the caller's remaining time counts where it is shorter. Default: the caller's alone. */
  readonly legTimeoutMs?: number;
  /** Legs under way at once; the others begin as these end. Default: all. */
  readonly maxConcurrent?: number;
  /** Order of the entries of a unary reply. Default "endpoint", whatever leg was quicker. */
  readonly order?: "endpoint" | "arrival";
  /** A leg that fails is an entry of the reply, or fails the call. Default "entries". */
  readonly fail?: "entries" | "call";
  /** Headers and trailers of the legs: all of them, one after the other, or none. Default "merged", as the Go model. */
  readonly metadata?: "merged" | "none";
  /** A leg that takes the request slower than the others: the caller waits for it, or the leg fails. Default "wait". */
  readonly onSlow?: "wait" | "drop_leg";
  /** Bytes of one leg's reply message. Default 4 MiB, as gRPC. */
  readonly maxMessageBytes?: number;
  /** Bytes of all replies that are held together. Default 64 MiB. */
  readonly maxTotalBytes?: number;
}

export type CompleteGatherPolicy = Required<Omit<GatherPolicy, "legTimeoutMs">> & Pick<GatherPolicy, "legTimeoutMs">;

export const defaultGather: CompleteGatherPolicy = {
  wait: "all",
  maxConcurrent: Number.POSITIVE_INFINITY,
  order: "endpoint",
  fail: "entries",
  metadata: "merged",
  onSlow: "wait",
  maxMessageBytes: 4 << 20,
  maxTotalBytes: 64 << 20,
};

/** Counts legs as they end. */
export class Tally {
  succeeded = 0;
  failed = 0;
  readonly #total: number;
  /** Successes that are enough; more than there are legs where all are waited for. */
  readonly #enough: number;

  constructor(total: number, wait: CompleteGatherPolicy["wait"]) {
    this.#total = total;
    this.#enough = wait === "all" ? Number.POSITIVE_INFINITY : wait === "first" ? 1 : wait.quorum;
  }

  /** No more legs are needed, or there are none. */
  get complete(): boolean {
    return this.succeeded >= this.#enough || this.succeeded + this.failed === this.#total || this.hopeless;
  }

  /** There can't be enough successes any more. */
  get hopeless(): boolean {
    return this.#enough !== Number.POSITIVE_INFINITY && this.#total - this.failed < this.#enough;
  }

  /** "2 of 5 answered, 3 are needed" */
  get verdict(): string {
    return `${this.succeeded} of ${this.#total} answered, ${this.#enough} are needed`;
  }
}
