/** `:path` of an RPC: "/service/method", taken by its exact bytes. */

/** The two parts of an RPC's path. */
export interface MethodPath {
  /** "acme.users.v1.UserService". */
  readonly service: string;
  /** "Get". */
  readonly method: string;
}

/**
 * Visible ASCII without what any server might read as structure: `/` splits, `?` and `#` end a path, `%` hides a byte, `\` is a
 * slash to some.
 */
const segment = /^[!"$&-.0->@-[\]-~]+$/;

/**
 * Reads a path strictly, so that a rule for one path can't be passed by another spelling of it: no query, no escapes, no
 * empty or dot segments, no third segment. gRPC needs none of them.
 *
 * @returns undefined for anything else: there is no such method
 */
export function parsePath(path: string): MethodPath | undefined {
  const slash = path.indexOf("/", 1);
  if (slash === -1 || path.charCodeAt(0) !== 0x2f) return undefined;
  const service = path.slice(1, slash);
  const method = path.slice(slash + 1);
  return isSegment(service) && isSegment(method) ? { service, method } : undefined;
}

function isSegment(text: string): boolean {
  return segment.test(text) && text !== "." && text !== "..";
}
