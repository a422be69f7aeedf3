/** Pool: the endpoints among which a call may choose: all of an upstream, or those with a label that the call asks for. */
import type { Call } from "../call.ts";
import type { Balance, Selection } from "./balance.ts";
import type { Endpoint } from "./endpoint.ts";
import { usableOf } from "./usable.ts";
import type { Reached } from "./waiter.ts";

export class Pool {
  readonly #panicPercent: number;
  readonly #selection: Selection;
  /** For calls that have to go elsewhere, from lists made for each of them. */
  readonly #others: Selection;
  #lastOthers: readonly Endpoint[] = [];
  #members: readonly Endpoint[] = [];
  /** Those that calls should go to. */
  #usable: readonly Endpoint[] = [];
  #panic = false;

  constructor(balance: Balance, panicPercent: number) {
    this.#panicPercent = panicPercent;
    this.#selection = balance();
    this.#others = balance();
  }

  /** Fewer are ready than the panic threshold says. */
  get panic(): boolean {
    return this.#panic;
  }

  /** Endpoints came, went, or have changed. */
  update(members: readonly Endpoint[]): void {
    this.#members = members;
    const { endpoints, panic } = usableOf(members, this.#panicPercent);
    this.#panic = panic;
    if (same(endpoints, this.#usable)) return;
    this.#usable = endpoints;
    if (endpoints.length > 0) this.#selection.update(endpoints);
  }

  /** The path of nearly every call. Undefined: there is none that calls should go to. */
  pick(call: Call): Endpoint | undefined {
    const usable = this.#usable;
    return usable.length === 0 ? undefined : usable[this.#selection.pick(call)];
  }

  /**
   * Where a call goes that found no room at once, or whose endpoint failed: to one that is well; else to one that is
   * ejected; else to one that isn't in backoff or is being connected to. Only a call that hasn't tried any goes to one in backoff: a
   * single attempt, at once, which all calls of that moment share. An unhealthy one gets calls in a panic alone.
   */
  pickOther(call: Call, tried: readonly Endpoint[], avoid: Reached | undefined): Endpoint | undefined {
    const untried = (endpoint: Endpoint) => !tried.includes(endpoint);
    const well = this.#usable.filter(untried);
    const others = well.filter((endpoint) => endpoint !== avoid);
    if (others.length > 0) return this.#pickAmong(others, call);
    const allowed = this.#panicPercent > 0 && this.#members.every(({ healthy }) => !healthy);
    const left = this.#members.filter((one) => one.enabled && (one.healthy || allowed) && untried(one));
    const first = tried.length === 0;
    const worthIt = left.filter((endpoint) => !endpoint.inBackoff || (first && endpoint.connecting));
    const available = left.filter((endpoint) => endpoint.available);
    const among = [available.filter((one) => one !== avoid), well, worthIt, first ? left : []];
    const found = among.find((some) => some.length > 0);
    return found && this.#pickAmong(found, call);
  }

  #pickAmong(endpoints: readonly Endpoint[], call: Call): Endpoint | undefined {
    const tier = Math.min(...endpoints.map(({ priority }) => priority));
    const best = endpoints.filter(({ priority }) => priority === tier);
    if (!same(best, this.#lastOthers)) {
      this.#lastOthers = best;
      this.#others.update(best);
    }
    return best[this.#others.pick(call)];
  }
}

function same(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  return some.length === others.length && some.every((one, at) => one === others[at]);
}
