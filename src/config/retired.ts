/** Retired upstreams: those that no route leads to any more, each closed once its last call has ended. */
import type { Upstream } from "../upstream/upstream.ts";

/** Milliseconds between two looks. */
const intervalMs = 1_000;

/**
 * Looks, one after the other, that must find nothing: a call may be on its way between two tries, or wait for a name's address
 * or a schema, when it isn't seen with any endpoint.
 */
const idleLooks = 5;

export class RetiredUpstreams {
  /** How often each was found idle. */
  readonly #idle = new Map<Upstream, number>();
  #timer: ReturnType<typeof setInterval> | undefined;

  get size(): number {
    return this.#idle.size;
  }

  add(upstream: Upstream): void {
    this.#idle.set(upstream, 0);
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#look(), intervalMs);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Closes all of them now. */
  close(): void {
    for (const upstream of this.#idle.keys()) upstream.close();
    this.#idle.clear();
    this.#stop();
  }

  #look(): void {
    for (const [upstream, count] of this.#idle) {
      if (isBusy(upstream)) this.#idle.set(upstream, 0);
      else if (count + 1 < idleLooks) this.#idle.set(upstream, count + 1);
      else {
        this.#idle.delete(upstream);
        upstream.close();
      }
    }
    if (this.#idle.size === 0) this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function isBusy({ endpoints }: Upstream): boolean {
  return endpoints.some(({ streamCount, pendingCount }) => streamCount > 0 || pendingCount > 0);
}
