/** Allowed headers: which of a caller's headers go on to an upstream. */

/** What the three protocols themselves say in headers; without it a call would be another one. */
const ofProtocols = new Set([
  "content-type",
  "content-encoding",
  "accept",
  "accept-encoding",
  "user-agent",
  "x-user-agent",
  "x-grpc-web",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-message-type",
  "grpc-previous-rpc-attempts",
  "connect-protocol-version",
  "connect-timeout-ms",
  "connect-content-encoding",
  "connect-accept-encoding",
]);

/**
 * Makes a list of names to a test.
 *
 * @param patterns names, lower case or not, or the beginning of names with `*` behind it
 * @throws TypeError naming the pattern, if no header can have such a name
 */
export function headerFilter(patterns: readonly string[]): (name: string) => boolean {
  for (const pattern of patterns) checkHeaderPattern(pattern);
  const wanted = patterns.map((pattern) => pattern.toLowerCase());
  const names = new Set(wanted.filter((pattern) => !pattern.endsWith("*")));
  const prefixes = wanted.filter((pattern) => pattern.endsWith("*")).map((pattern) => pattern.slice(0, -1));
  return (name) => ofProtocols.has(name) || names.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

/** @throws TypeError naming the pattern */
export function checkHeaderPattern(pattern: string): void {
  if (/^[!#$%&'+\-.^_`|~0-9A-Za-z]+\*?$/.test(pattern)) return;
  throw new TypeError(`not a header name, or the beginning of one with "*" behind it: "${pattern}"`);
}
