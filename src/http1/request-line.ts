/** Request line: method, target and version (RFC 9112 section 3). */
import { Field } from "../http2/field.ts";
import { latin1 } from "../http2/hpack/latin1.ts";
import { isHexDigit, isTarget, isToken, PERCENT, SP, stopOf } from "./characters.ts";
import { badRequest, RequestError } from "./request-error.ts";

export interface RequestLine {
  readonly method: Field;
  readonly path: Field;
  /** Of a target in absolute-form: what counts in place of Host and of what the connection is (section 3.2.2). */
  readonly absolute: { readonly scheme: Field; readonly authority: Field } | undefined;
  /** HTTP/1.0, not 1.1. */
  readonly isHttp10: boolean;
}

/** Section 2.3, with a space before it. The last digit is read apart. */
const versionLength = " HTTP/1.1".length;
const version = /^ HTTP\/(\d)\.(\d)$/;

/** No tunnel is opened and nothing is echoed: TRACE would show a page the fields that it isn't meant to see. */
const notImplemented = new Set(["CONNECT", "TRACE"]);

const asterisk = new Field(":path", "*");
const absoluteForm = /^(https?):\/\/([^/?]*)(.*)$/i;

/**
 * uri-host and port (RFC 3986 section 3.2.2), never empty. Without user information, which RFC 9110 section 4.2.4 calls an error,
 * and without commas: two Host lines joined to one read just so.
 */
const authorityForm = /^(?:\[[0-9a-f:.]+\]|(?:[\w.~!$&'()*+;=-]|%[0-9a-f]{2})+)(?::\d{0,5})?$/i;

/**
 * Reads the bytes from `start` to `stop`, without CRLF.
 *
 * @throws RequestError 400, 501 for a method that is never served, 505 for another version
 */
export function parseRequestLine(bytes: Uint8Array, start: number, stop: number): RequestLine {
  const targetStop = stop - versionLength;
  const isHttp10 = parseVersion(latin1(bytes, Math.max(start, targetStop), stop));
  const methodStop = stopOf(isToken, bytes, start, targetStop);
  if (methodStop === start || bytes[methodStop] !== SP) throw badRequest("method isn't a token");
  const method = latin1(bytes, start, methodStop);
  if (notImplemented.has(method)) throw new RequestError(501, `${method} isn't served`);
  const targetStart = methodStop + 1;
  checkTarget(bytes, targetStart, targetStop);
  return {
    method: new Field(":method", method),
    ...parseTarget(latin1(bytes, targetStart, targetStop), method),
    isHttp10,
  };
}

/** True if the text is a host, perhaps with a port, that an `:authority` may be. */
export function isAuthority(text: string): boolean {
  return authorityForm.test(text);
}

/** True for HTTP/1.0. */
function parseVersion(text: string): boolean {
  const match = version.exec(text);
  if (match === null) throw badRequest("request line without a version");
  if (match[1] !== "1" || (match[2] !== "0" && match[2] !== "1"))
    throw new RequestError(505, "only HTTP/1.1 and HTTP/2");
  return match[2] === "0";
}

function checkTarget(bytes: Uint8Array, start: number, stop: number): void {
  if (stopOf(isTarget, bytes, start, stop) < stop) throw badRequest("forbidden character in the request-target");
  for (let at = start; at < stop; at++) {
    if (bytes[at] === PERCENT && stopOf(isHexDigit, bytes, at + 1, at + 3) < at + 3) {
      throw badRequest("% without two hexadecimal digits in the request-target");
    }
  }
}

/** Section 3.2: which form a target has, and whether it goes with the method. */
function parseTarget(target: string, method: string): Pick<RequestLine, "path" | "absolute"> {
  if (target.startsWith("/")) return { path: new Field(":path", target), absolute: undefined };
  if (target === "*" && method === "OPTIONS") return { path: asterisk, absolute: undefined };
  const match = absoluteForm.exec(target);
  if (match === null) throw badRequest("request-target in none of the forms that go with its method");
  const [, scheme = "", authority = "", rest = ""] = match;
  if (!isAuthority(authority)) throw badRequest("invalid authority in the request-target");
  return {
    path: rest === "" && method === "OPTIONS" ? asterisk : new Field(":path", rest.startsWith("/") ? rest : `/${rest}`),
    absolute: {
      scheme: new Field(":scheme", scheme.toLowerCase()),
      authority: new Field(":authority", authority),
    },
  };
}
