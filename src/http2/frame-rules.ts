/** Frame rules: what holds of a frame by itself, whatever its type means (RFC 9113 sections 4.2 and 5.3). Each throws ConnectionError. */
import { ConnectionError, ErrorCode } from "./errors.ts";
import * as frame from "./frame.ts";

export function sized(right: boolean, what: string, payload: Uint8Array): void {
  if (!right) throw new ConnectionError(ErrorCode.frameSizeError, `${what} of ${payload.length} bytes`);
}

export function onStream(id: number, what: string): void {
  if (id === 0) throw new ConnectionError(ErrorCode.protocolError, `${what} on stream 0`);
}

export function onConnection(id: number, what: string): void {
  if (id !== 0) throw new ConnectionError(ErrorCode.protocolError, `${what} on stream ${id}`);
}

/** Priorities are ignored (RFC 9113 section 5.3), but RFC 7540's one rule on them is still what checkers look for. */
export function notOnItself(id: number, payload: Uint8Array, at: number): void {
  if (frame.readUint31(payload, at) === id) {
    throw new ConnectionError(ErrorCode.protocolError, `stream ${id} depends on itself`);
  }
}
