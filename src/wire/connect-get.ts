/** Connect's GET: a unary request in the query of a path. */
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";

/** A request as its query has it. Values are binary strings, percent-decoded. */
export interface ConnectGet {
  /** The codec: "proto", "json". "" where it was left out. */
  readonly encoding: string;
  /** An encoding as in content-encoding; "identity" where it was left out. */
  readonly compression: string;
  readonly base64: boolean;
  /** Undefined where it was left out, which no message is: an empty one is `message=`. */
  readonly message: string | undefined;
}

/**
 * Reads a query. Parameters that Connect doesn't know are skipped, of those that come twice the first counts.
 *
 * @returns undefined without `connect=v1`: then it is some other GET
 * @see Connect protocol, "Unary-Get-Request"
 */
export function parseConnectGet(query: string): ConnectGet | undefined {
  const parameters = new Map<string, string>();
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    const name = decode(equals === -1 ? part : part.slice(0, equals));
    if (!parameters.has(name)) parameters.set(name, equals === -1 ? "" : decode(part.slice(equals + 1)));
  }
  if (parameters.get("connect") !== "v1") return undefined;
  return {
    encoding: parameters.get("encoding") ?? "",
    compression: parameters.get("compression") || "identity",
    base64: parameters.get("base64") === "1",
    message: parameters.get("message"),
  };
}

/**
 * The message's bytes, still compressed if it is.
 *
 * @throws ConnectError `invalid_argument` where there is none, or its base64 is bad
 */
export function messageOfGet({ message, base64 }: ConnectGet): Uint8Array {
  if (message === undefined) throw new ConnectError('no "message" in the query', Code.InvalidArgument);
  if (base64) return decodeBase64(message);
  return Uint8Array.from(message, (char) => char.charCodeAt(0));
}

/** URL-safe or not, padded or not: clients differ. */
function decodeBase64(text: string): Uint8Array {
  if (/^[\w+/-]*={0,2}$/.test(text)) {
    try {
      return base64Decode(text);
    } catch {
      // falls to the error below
    }
  }
  throw new ConnectError('"message" in the query is not base64', Code.InvalidArgument);
}

/** As HTML forms are decoded, but to bytes: a message need not be text. A `%` without two digits stays as it is. */
function decode(text: string): string {
  if (!/[%+]/.test(text)) return text;
  return text
    .replaceAll("+", " ")
    .replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}
