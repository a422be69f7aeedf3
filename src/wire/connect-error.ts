/** Errors of Connect: `{code, message, details}` in JSON, as the body of a unary response or a part of a stream's end. */
import { base64Decode } from "@bufbuild/protobuf/wire";
import { encodeBinary } from "./metadata.ts";
import type { RpcStatus, StatusDetail } from "./rpc-status.ts";
import { codeOfName, errorNames, statusOfHttp } from "./status.ts";

/** An error as it stands in JSON. */
export interface ErrorJson {
  readonly code: string;
  readonly message?: string;
  /** `value` is base64 without padding. */
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The error that a status is, which isn't 0. Connect has no names for numbers that gRPC doesn't know: they are "unknown". */
export function errorJson({ code, message, details }: RpcStatus): ErrorJson {
  return {
    code: errorNames[code - 1] ?? "unknown",
    ...(message === "" ? {} : { message }),
    ...(details.length === 0
      ? {}
      : { details: details.map(({ type, value }) => ({ type, value: encodeBinary(value) })) }),
  };
}

/** The body of a unary response that is an error. */
export function encodeConnectError(status: RpcStatus): Uint8Array {
  return encoder.encode(JSON.stringify(errorJson(status)));
}

/**
 * Reads the body of a unary response whose HTTP status isn't 200. Never throws: where the body is no error of Connect's, or a part
 * of it is none, the rest counts, and the HTTP status where there is no rest.
 *
 * @param http the response's HTTP status
 */
export function parseConnectError(body: Uint8Array, http: number): RpcStatus {
  const fallback = statusOfConnectHttp(http);
  try {
    return statusOfErrorJson(JSON.parse(decoder.decode(body)), fallback);
  } catch {
    return fallback;
  }
}

/** The status of a response to Connect that says no more than its HTTP status. */
export function statusOfConnectHttp(http: number): RpcStatus {
  return { code: statusOfHttp(http), message: `upstream answered with HTTP ${http}`, details: [] };
}

/**
 * Reads an error's JSON value, as leniently: what is no string is not there, a code that has no name is the fallback's, a detail that
 * can't be read is left out.
 *
 * @param fallback the status if `value` is no object
 */
export function statusOfErrorJson(value: unknown, fallback: RpcStatus): RpcStatus {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fallback;
  const { code, message, details } = value as { readonly [name: string]: unknown };
  const known = typeof code === "string" ? codeOfName(code) : undefined;
  if (known === undefined && typeof message !== "string") return fallback;
  return {
    code: known ?? fallback.code,
    message: typeof message === "string" ? message : "",
    details: Array.isArray(details) ? details.flatMap(detail) : [],
  };
}

function detail(value: unknown): StatusDetail[] {
  if (typeof value !== "object" || value === null) return [];
  const { type, value: bytes } = value as { readonly [name: string]: unknown };
  if (typeof type !== "string" || typeof bytes !== "string") return [];
  try {
    return [{ type: type.slice(type.lastIndexOf("/") + 1), value: base64Decode(bytes) }];
  } catch {
    return [];
  }
}
