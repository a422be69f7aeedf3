/** Claims: what a token says, looked up by name. */

/**
 * A claim by its name, or by the names on the way to it: "sub", "realm_access.roles". The whole name is looked for first, for
 * some have dots: "https://acme.example/roles".
 */
export function claimOf(claims: Readonly<Record<string, unknown>> | undefined, name: string): unknown {
  if (claims === undefined) return undefined;
  if (Object.hasOwn(claims, name)) return claims[name];
  let at: unknown = claims;
  for (const step of name.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}

/** As a header says it: strings as they are, all else as JSON; undefined where there is nothing. */
export function claimText(claim: unknown): string | undefined {
  if (claim === undefined || claim === null) return undefined;
  return typeof claim === "string" ? claim : JSON.stringify(claim);
}

/** The values that a claim has: of a list each, of "scope" each word (RFC 8693 section 4.2), else the one. */
export function claimValues(claim: unknown, name: string): string[] {
  if (Array.isArray(claim)) return claim.flatMap((one) => claimText(one) ?? []);
  const text = claimText(claim);
  if (text === undefined) return [];
  return name === "scope" || name === "scp" ? text.split(" ") : [text];
}
