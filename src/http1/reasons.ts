/** Reasons: why a request under way ends before its time. */
import type { ResetCause } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import { RequestError } from "./request-error.ts";

/** What its user is told of it. */
export interface Reason {
  readonly code: ErrorCode;
  readonly cause: ResetCause;
}

/** What the peer is told where no response has begun. */
export const internalError = new RequestError(500, "internal error");
export const unavailable = new RequestError(503, "not processed, try again");

export const byUs: Reason = { code: ErrorCode.internalError, cause: "connection" };
export const unfinished: Reason = { code: ErrorCode.noError, cause: "connection" };
export const byPeer: Reason = { code: ErrorCode.cancel, cause: "peer" };
export const malformed: Reason = { code: ErrorCode.protocolError, cause: "malformed" };
export const idle: Reason = { code: ErrorCode.cancel, cause: "idle" };
