/** An error's text as a Go program has it: what clients of grpc-proxy's layout read, and perhaps parse. */

/** Names of grpc-go's codes.Code, by number. */
const names = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

/** "rpc error: code = NotFound desc = no such node", as `status.Error(...).Error()` is in grpc-go. */
export function goErrorText(code: number, message: string): string {
  return `rpc error: code = ${names[code] ?? `Code(${code})`} desc = ${message}`;
}

/**
 * Reads such a text.
 *
 * @returns undefined for another text
 */
export function parseGoError(text: string): { code: number; message: string } | undefined {
  const match = /^rpc error: code = (?:(\w+)|Code\((\d+)\)) desc = (.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, name, number, message = ""] = match;
  const code = name === undefined ? Number(number) : (names as readonly string[]).indexOf(name);
  return code === -1 ? undefined : { code, message };
}
