/** Request head: the header fields that say what a request is, found in one pass. */
import { Field, FieldKind } from "../http2/field.ts";
import { type MethodPath, parsePath } from "./path.ts";

/** The fields that say what a request is. */
export interface RequestHead {
  path: Field;
  method: string;
  authority: Field | undefined;
  contentType: string | undefined;
  grpcTimeout: Field | undefined;
  connectTimeout: Field | undefined;
  connectProtocolVersion: string | undefined;
  /** One of the two headers for a deadline came twice. */
  twoTimeouts: boolean;
}

export function readHead(fields: readonly Field[]): RequestHead {
  const head: RequestHead = {
    path: noPath,
    method: "",
    authority: undefined,
    contentType: undefined,
    grpcTimeout: undefined,
    connectTimeout: undefined,
    connectProtocolVersion: undefined,
    twoTimeouts: false,
  };
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    const { kind, name } = field;
    if (kind === FieldKind.regular) {
      if (name === "content-type") head.contentType = field.value;
      else if (name === "grpc-timeout") {
        if (head.grpcTimeout !== undefined) head.twoTimeouts = true;
        head.grpcTimeout = field;
      } else if (name === "connect-timeout-ms") {
        if (head.connectTimeout !== undefined) head.twoTimeouts = true;
        head.connectTimeout = field;
      } else if (name === "connect-protocol-version") head.connectProtocolVersion = field.value;
    } else if (kind === FieldKind.path) head.path = field;
    else if (kind === FieldKind.method) head.method = field.value;
    else if (kind === FieldKind.authority) head.authority = field;
    else if (kind === FieldKind.host) head.authority ??= field;
  }
  return head;
}

/** CONNECT has no path (RFC 9113 section 8.5). */
const noPath = new Field(":path", "");

/** Paths that were parsed before. They repeat in nearly every call, and are the callers' to choose: so it is bounded. */
const knownPaths = new Map<string, MethodPath | undefined>();
const maxKnownPaths = 1_000;

/** The service and method that a path names; undefined where it names none. */
export function methodPath(path: string): MethodPath | undefined {
  const known = knownPaths.get(path);
  if (known !== undefined) return known;
  const parts = parsePath(path);
  if (parts === undefined) return undefined;
  if (knownPaths.size >= maxKnownPaths) knownPaths.clear();
  knownPaths.set(path, parts);
  return parts;
}
