/** Which protocol a request is in, from its method, its content type and, for Connect's GET, its query. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type ConnectGet, parseConnectGet } from "./connect-get.ts";
import { type ContentType, parseContentType } from "./content-type.ts";

/** What of a request tells the protocol. Values are binary strings. */
export interface RequestHead {
  readonly method: string;
  readonly contentType: string | undefined;
  /** What follows the `?` of the path; undefined where there is none. */
  readonly query: string | undefined;
  readonly connectProtocolVersion: string | undefined;
}

/** An RPC, or the HTTP status and text for what isn't one. */
export type Detection = (ContentType & { readonly get?: ConnectGet }) | NoRpc;

export interface NoRpc {
  readonly framing: undefined;
  readonly status: 405 | 415;
  /** One line, naming what was wrong. */
  readonly message: string;
  /** What would be right: Allow or Accept-Post. */
  readonly header: readonly [name: string, value: string];
}

/**
 * Codecs of Connect's unary calls that need no more proof. Others do, and not only because a form is no RPC: a page may send forms
 * and text to foreign origins without a preflight, but never a Connect-Protocol-Version.
 */
const plainCodecs = new Set(["proto", "json"]);

const acceptPost = [
  "application/grpc",
  "application/grpc-web",
  "application/grpc-web-text",
  "application/connect+proto",
  "application/connect+json",
  "application/proto",
  "application/json",
].join(", ");

/** Tells the protocol. Says nothing of the path: whether it names a method. */
export function detectProtocol({ method, contentType, query, connectProtocolVersion }: RequestHead): Detection {
  if (method === "POST") {
    const type = parseContentType(contentType);
    if (type === undefined) return wrongType(contentType);
    const { framing, codec } = type;
    const proven = framing !== "connect_unary" || plainCodecs.has(codec) || connectProtocolVersion !== undefined;
    return proven ? type : wrongType(contentType);
  }
  const get = method === "GET" && query !== undefined ? parseConnectGet(query) : undefined;
  if (get === undefined) return wrongMethod(method);
  const type = parseContentType(`application/${get.encoding}`);
  return type?.framing === "connect_unary" ? { ...type, get } : wrongEncoding(get.encoding);
}

/**
 * Checks `connect-protocol-version`, which may be left out.
 *
 * @throws ConnectError `invalid_argument` naming the value, if it is any other version than 1
 */
export function checkConnectVersion(value: string | undefined): void {
  if (value === undefined || value === "1") return;
  throw new ConnectError(`connect-protocol-version "${value}", expected "1"`, Code.InvalidArgument);
}

/** Splits a path where its query begins. */
export function splitQuery(path: string): { path: string; query: string | undefined } {
  const mark = path.indexOf("?");
  return mark === -1 ? { path, query: undefined } : { path: path.slice(0, mark), query: path.slice(mark + 1) };
}

function wrongType(contentType: string | undefined): NoRpc {
  const given = contentType === undefined ? "no content-type" : `content-type "${contentType}"`;
  const message = `${given}, expected that of gRPC, gRPC-Web or Connect`;
  return { framing: undefined, status: 415, message, header: ["accept-post", acceptPost] };
}

function wrongEncoding(encoding: string): NoRpc {
  const message = `encoding "${encoding}" in the query, expected a codec such as proto or json`;
  return { framing: undefined, status: 415, message, header: ["accept-post", acceptPost] };
}

function wrongMethod(method: string): NoRpc {
  const message = `method ${method}, only POST, or GET with connect=v1 in the query, is an RPC`;
  return { framing: undefined, status: 405, message, header: ["allow", "POST, GET"] };
}
