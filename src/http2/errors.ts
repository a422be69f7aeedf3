/** Error codes of HTTP/2 and the two errors that its rules raise (RFC 9113 sections 5.4 and 7). */

export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;
/** A code of the table above, or any other 32-bit number a peer may send. */
export type ErrorCode = number;

/**
 * The whole connection ends: GOAWAY with this code, then close (RFC 9113 section 5.4.1). It has no stack: that would tell of
 * our code, not of what the peer did, and to gather it was a tenth of the CPU that a short, broken connection takes.
 */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = limit;
    this.code = code;
  }
}
