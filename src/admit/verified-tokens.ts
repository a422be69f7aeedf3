/** Verified tokens: what was found out of tokens that come again with each call. */

/** Tokens kept: with the longest that is kept, 4 MB. */
const maxTokens = 1_024;
const maxLength = 4 << 10;

/** Milliseconds after which a token is checked anew: its key may have been withdrawn. */
const keepMs = 60_000;

export class VerifiedTokens<T> {
  readonly #known = new Map<string, { readonly value: T; readonly until: number }>();

  /** Undefined where it isn't known, or no longer. */
  get(token: string): T | undefined {
    const found = this.#known.get(token);
    if (found === undefined) return undefined;
    if (found.until > Date.now()) return found.value;
    this.#known.delete(token);
    return undefined;
  }

  /** @param expiresAt in milliseconds since 1970; undefined: it doesn't */
  set(token: string, value: T, expiresAt = Number.POSITIVE_INFINITY): void {
    if (token.length > maxLength) return;
    if (this.#known.size >= maxTokens) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(token, { value, until: Math.min(expiresAt, Date.now() + keepMs) });
  }
}
