/** gRPC status: numbers and names, and the maps from HTTP and HTTP/2 where no `grpc-status` came. */
import { Code } from "@connectrpc/connect";
import { trimSpace } from "./white-space.ts";

/** `grpc-status: 0`. `Code` of Connect names errors only. */
export const statusOk = 0;

/** Names as every gRPC library logs them, by number. */
const names = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
] as const;

/** "ok", "unavailable", ...; a number that gRPC doesn't know is written as it is: "status 99". */
export function statusName(status: number): string {
  return names[status] ?? `status ${status}`;
}

/** The names an error can have, in the order of their numbers: what a configuration may say. */
export const errorNames: readonly string[] = names.slice(1);

/** The code of a name such as "not_found" (also "cancelled"); undefined where there is none, or it is "ok". */
export function codeOfName(name: string): Code | undefined {
  const code = (names as readonly string[]).indexOf(name === "cancelled" ? "canceled" : name);
  return code > 0 ? code : undefined;
}

/**
 * Reads a `grpc-status` value. A number that gRPC doesn't know is kept, for it is the upstream's to say; what isn't a
 * number is `unknown` (2), as in grpc-go.
 */
export function parseStatus(value: string): number {
  const digits = trimSpace(value);
  return /^\d{1,10}$/.test(digits) ? Number(digits) : Code.Unknown;
}

/**
 * The status of a response that has an HTTP status and no `grpc-status`.
 * @see gRPC, "HTTP to gRPC Status Code Mapping"
 */
export function statusOfHttp(http: number): Code {
  switch (http) {
    case 400:
      return Code.Internal;
    case 401:
      return Code.Unauthenticated;
    case 403:
      return Code.PermissionDenied;
    case 404:
      return Code.Unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Code.Unavailable;
    default:
      return Code.Unknown;
  }
}

/**
 * The HTTP status of a unary response of Connect that is an error; 500 for a number that gRPC doesn't know.
 * @see Connect protocol, "Error Codes"
 */
export function httpOfStatus(status: number): number {
  return httpStatuses[status] ?? 500;
}

/** By number; that of 0 is the response that is no error. */
const httpStatuses = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401] as const;

/**
 * The status of a stream that ended with RST_STREAM.
 *
 * @param code an error code of RFC 9113 section 7, or any other number
 * @see gRPC over HTTP/2, "Errors"
 */
export function statusOfReset(code: number): Code {
  switch (code) {
    case 0x7: // REFUSED_STREAM: no work was done, safe to try again
      return Code.Unavailable;
    case 0x8: // CANCEL
      return Code.Canceled;
    case 0xb: // ENHANCE_YOUR_CALM
      return Code.ResourceExhausted;
    case 0xc: // INADEQUATE_SECURITY
      return Code.PermissionDenied;
    default:
      return Code.Internal;
  }
}
