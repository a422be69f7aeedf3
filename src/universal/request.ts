/** A universal request's fields and body, in the form that the proxy takes. */
import { createContextKey } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { Identity, Origin, Peer } from "../call.ts";
import { Field, valueOf } from "../http2/field.ts";
import { fieldsOf } from "./headers.ts";

/**
 * Who calls, for hosts that know: `contextValues.set(peerKey, { address, port })`. Without it a call's peer has the address "", for
 * a universal request doesn't say.
 */
export const peerKey = createContextKey<Peer>({ address: "", port: 0 }, { description: "peer of the call" });

/** Who calls a service beside the proxy, as `authorize` found it: `context.values.get(identityKey)`. */
export const identityKey = createContextKey<Identity | undefined>(undefined, { description: "identity of the caller" });

/** A request of which the host has made what can't be taken back. */
export class ParsedBodyError extends Error {
  override readonly name = "ParsedBodyError";
}

export interface RequestParts {
  /** Pseudo-fields first. */
  readonly fields: Field[];
  readonly body: AsyncIterable<Uint8Array>;
  readonly origin: Origin;
}

/**
 * Takes a request apart.
 *
 * @param prefix what is taken off the front of the path, such as "/api"; a path without it stays as it is
 * @throws ParsedBodyError if the host has parsed a body that isn't JSON, of which the bytes are lost
 */
export function readRequest(request: UniversalServerRequest, prefix: string): RequestParts {
  const { scheme, authority, path } = splitUrl(request.url);
  const fields = fieldsOf(request.header);
  const head = [
    new Field(":method", request.method),
    new Field(":scheme", scheme),
    new Field(":authority", authority ?? request.header.get("host") ?? ""),
    new Field(":path", withoutPrefix(path, prefix)),
  ];
  const httpVersion = versionOf(request.httpVersion);
  const origin: Origin = {
    peer: request.contextValues?.get(peerKey) ?? peerKey.defaultValue,
    secure: scheme === "https",
    ...(httpVersion === undefined ? {} : { httpVersion }),
  };
  if (isStream(request.body)) return { fields: [...head, ...fields], body: request.body, origin };
  const bytes = bytesOfParsed(request.body, valueOf(fields, "content-type"));
  return { fields: [...head, ...withLength(fields, bytes.length)], body: once(bytes), origin };
}

/** Hosts on fetch don't say. */
function versionOf(httpVersion: string): Origin["httpVersion"] {
  if (httpVersion.startsWith("2")) return "2.0";
  return httpVersion.startsWith("1") ? "1.1" : undefined;
}

/** Not by `URL`, which writes paths anew: what was authorised here must be what goes on. */
function splitUrl(url: string): { scheme: string; authority: string | undefined; path: string } {
  const match = /^(?:([a-z][a-z0-9+.-]*):\/\/([^/?#]*))?([^#]*)/i.exec(url);
  const path = match?.[3] ?? "";
  return {
    scheme: match?.[1]?.toLowerCase() ?? "http",
    authority: match?.[2],
    path: path.startsWith("/") ? path : `/${path}`,
  };
}

function withoutPrefix(path: string, prefix: string): string {
  return prefix !== "" && path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

function isStream(body: UniversalServerRequest["body"]): body is AsyncIterable<Uint8Array> {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}

/** Body parsers of frameworks leave JSON as a value; some leave other bodies as bytes. */
function bytesOfParsed(body: unknown, contentType: string | undefined): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (/[/+]json\s*(;|$)/i.test(contentType ?? "")) return new TextEncoder().encode(JSON.stringify(body));
  throw new ParsedBodyError(`the body of content-type "${contentType}" was parsed before it came to the proxy`);
}

/** The parser has inflated what it read, and JSON written anew has another length. */
function withLength(fields: readonly Field[], length: number): Field[] {
  const kept = fields.filter(({ name }) => name !== "content-length" && name !== "content-encoding");
  kept.push(new Field("content-length", String(length)));
  return kept;
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
