/** Errors of legs as Connect's errors, with their details: `error.findDetails(RetryInfoSchema)` works. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Status } from "../gen/google/rpc/status_pb.ts";
import { parseGoError } from "../layout/go-error.ts";

/** The error of a leg that has a status, or else neither a status nor a reply. */
export function errorOfLeg(status: Status | undefined): ConnectError {
  return status === undefined ? new ConnectError("the leg has no reply", Code.Internal) : errorOfStatus(status);
}

/** Codes that Connect doesn't have become `unknown`, 0 too: a leg that has a status has failed. */
export function errorOfStatus({ code, message, details }: Status): ConnectError {
  const error = new ConnectError(message, connectCode(code));
  error.details = details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return error;
}

/** The error that a Go program has written down, "rpc error: code = NotFound desc = no such node"; else it is all message. */
export function errorOfText(text: string): ConnectError {
  const { code, message } = parseGoError(text) ?? { code: Code.Unknown, message: text };
  return new ConnectError(message, connectCode(code));
}

function connectCode(code: number): Code {
  return code in Code ? code : Code.Unknown;
}
