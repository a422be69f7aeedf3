/** Field line: name, colon, value (RFC 9112 section 5), and what it means to the connection it came over. */
import { Field } from "../http2/field.ts";
import { latin1 } from "../http2/hpack/latin1.ts";
import { COLON, HTAB, isFieldContent, isToken, SP, stopOf } from "./characters.ts";
import { badRequest, RequestError } from "./request-error.ts";
import { isAuthority } from "./request-line.ts";

/** What a line is to the one who reads the request. */
export const Role = {
  /** Passed on as it is. */
  regular: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  expect: 5,
  /** Meant for this connection alone (RFC 9110 section 7.6.1): not passed on. */
  hopByHop: 6,
} as const;
export type Role = (typeof Role)[keyof typeof Role];

export interface FieldLine {
  readonly role: Role;
  /** What is passed on; of Host the `:authority` that it becomes. */
  readonly field: Field;
  /** Content-Length: its value. Transfer-Encoding: 1 for chunked, 0 for anything else. */
  readonly number: number;
  /** Connection: its options, in lower case. */
  readonly options: readonly string[];
}

const roles = new Map<string, Role>([
  ["host", Role.host],
  ["content-length", Role.contentLength],
  ["transfer-encoding", Role.transferEncoding],
  ["connection", Role.connection],
  ["expect", Role.expect],
  ["keep-alive", Role.hopByHop],
  ["proxy-connection", Role.hopByHop],
  ["te", Role.hopByHop],
  ["upgrade", Role.hopByHop],
  ["http2-settings", Role.hopByHop],
]);

/** Names that a trailer section may not have: who reads them there would find another end of the message or another host. */
const framing: readonly Role[] = [Role.host, Role.contentLength, Role.transferEncoding];

const noOptions: readonly string[] = [];

/** 15 digits are the most that a number holds exactly, and what HTTP/2's side of this proxy reads. */
const contentLength = /^\d{1,15}$/;

/**
 * Reads the bytes from `start` to `stop`, without CRLF. A line that continues the one before (obs-fold) is refused, as it has
 * no name.
 *
 * @throws RequestError 400, 417 for an expectation other than 100-continue, 501 for a coding other than chunked
 */
export function parseFieldLine(bytes: Uint8Array, start: number, stop: number): FieldLine {
  const colon = stopOf(isToken, bytes, start, stop);
  if (colon === start || bytes[colon] !== COLON || colon === stop)
    throw badRequest("field line without a name and a colon");
  let from = colon + 1;
  let to = stop;
  while (from < to && isBlank(bytes[from]!)) from++;
  while (to > from && isBlank(bytes[to - 1]!)) to--;
  if (stopOf(isFieldContent, bytes, from, to) < to) throw badRequest("forbidden character in a field value");
  const name = latin1(bytes, start, colon).toLowerCase();
  const value = latin1(bytes, from, to);
  const role = roles.get(name) ?? Role.regular;
  const line = { role, field: new Field(name, value), number: 0, options: noOptions };
  switch (role) {
    case Role.host:
      if (value !== "" && !isAuthority(value)) throw badRequest("invalid Host");
      return { ...line, field: new Field(":authority", value) };
    case Role.contentLength:
      refuseTabs(bytes, colon, stop);
      if (!contentLength.test(value)) throw badRequest("invalid Content-Length");
      return { ...line, number: Number(value) };
    case Role.transferEncoding:
      refuseTabs(bytes, colon, stop);
      return { ...line, number: parseTransferEncoding(value) };
    case Role.connection:
      return { ...line, options: parseOptions(value) };
    case Role.expect:
      if (value.toLowerCase() !== "100-continue")
        throw new RequestError(417, "only 100-continue is expected of servers");
      return line;
    default:
      return line;
  }
}

/** Tabs are blanks as good as spaces, but beside what frames a request some parsers don't take them for such (section 11.2). */
function refuseTabs(bytes: Uint8Array, start: number, stop: number): void {
  for (let at = start; at < stop; at++)
    if (bytes[at] === HTAB) throw badRequest("tab beside a value that frames the request");
}

/** A line of a trailer section; undefined for one that is of no use there. @throws RequestError 400 */
export function trailerOf({ role, field }: FieldLine): Field | undefined {
  if (framing.includes(role)) throw badRequest("field in the trailer section that belongs to the header section");
  return role === Role.regular ? field : undefined;
}

/**
 * Chunked, and nothing else, is a body that we can read. Section 6.3: where chunked isn't the last coding, nobody knows where the
 * request ends. Other codings are refused by name, so that it can't happen that one of two readers knows them.
 */
function parseTransferEncoding(value: string): number {
  const codings = value.toLowerCase().split(",").map(trim);
  const chunked = codings.indexOf("chunked");
  if (codings.length === 1 && chunked === 0) return 1;
  if (chunked >= 0 && chunked < codings.length - 1) throw badRequest("transfer coding behind chunked");
  for (const coding of codings) {
    if (!token.test(coding) || coding === "identity") throw badRequest("invalid Transfer-Encoding");
  }
  throw new RequestError(501, "transfer coding other than chunked");
}

const token = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** Section 7.6.1 of RFC 9110: a list of tokens, in which elements may be empty. */
function parseOptions(value: string): string[] {
  const options = value
    .toLowerCase()
    .split(",")
    .map(trim)
    .filter((option) => option !== "");
  for (const option of options) if (!token.test(option)) throw badRequest("invalid Connection");
  return options;
}

/** Without spaces and tabs at its ends. Not `String.trim`, which takes a no-break space too: 0xa0 is a byte like any other here. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
