/** Rules: what has to hold in callbacks, where whoever calls back would catch what is thrown and take it for the user's fault. */
export class Rules {
  readonly #broken: Error[] = [];

  hold(holds: boolean, what: string): void {
    if (!holds) this.#broken.push(new Error(what));
  }

  /** Runs what is to throw nothing. */
  run(what: () => void): void {
    try {
      what();
    } catch (error) {
      this.#broken.push(error as Error);
    }
  }

  /** @throws the first error of all */
  check(): void {
    if (this.#broken.length > 0) throw this.#broken[0];
  }
}
