/** Balance: which endpoint a call goes to. An algorithm only chooses; who is ready is decided elsewhere. */
import type { Call } from "../call.ts";

/** What an algorithm knows of an endpoint. */
export interface Candidate {
  /** "10.0.0.1:50051": the same however often it comes and goes. */
  readonly address: string;
  /** At least 1. */
  readonly weight: number;
  /** Calls in flight there. */
  readonly activeCalls: number;
}

/** The choice among some endpoints; it may keep state between calls. */
export interface Selection {
  /** Told whenever one of the endpoints comes or goes: from now on these, at least one, are to be chosen from. */
  update(candidates: readonly Candidate[]): void;
  /** @returns an index into what `update` was told last */
  pick(call: Call): number;
}

/** Makes a selection. Called more than once where an upstream has subsets: each has its own. */
export type Balance = () => Selection;

export { leastRequest } from "./balance/least-request.ts";
export { pickFirst } from "./balance/pick-first.ts";
export { type HashKey, ringHash } from "./balance/ring-hash.ts";
export { roundRobin } from "./balance/round-robin.ts";
