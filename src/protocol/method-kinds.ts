/** Method kinds: which methods of a Connect upstream are unary, as far as calls or a schema have told. */
import type { MethodKind } from "./layers.ts";

/** Methods that are remembered; callers choose the names, so there is a limit. */
const maxKnown = 10_000;

/**
 * Connect has two forms for messages, one for unary methods and one for streams, and a server answers 415 to the wrong one
 * before any handler runs. So without a schema the first call of a method finds out, and the others know.
 */
export class MethodKinds {
  readonly #known = new Map<string, MethodKind>();

  get(upstream: string, path: string): MethodKind | undefined {
    return this.#known.get(`${upstream} ${path}`);
  }

  set(upstream: string, path: string, kind: MethodKind): void {
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(`${upstream} ${path}`, kind);
  }
}
