/** Request error: what is wrong with a request on the wire, as the status that answers it (RFC 9110 section 15.5). */

/** A request that can't be read, or isn't served: answered with the status and the message, then the connection is closed. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;

  /** @param message goes to the peer: never anything that it has sent, for it could be shown as something else than text */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** 400, for all that breaks the grammar or could be read two ways. */
export function badRequest(message: string): RequestError {
  return new RequestError(400, message);
}
