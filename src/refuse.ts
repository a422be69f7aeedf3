/** Refuse: answers of our own, in the shape that the caller understands. */
import { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { HttpRefusal } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { Field, FieldKind, Indexing } from "./http2/field.ts";
import { encodeMessage } from "./wire/message.ts";

const ok = new Field(":status", "200");

/** What an error's metadata may say of the message that it came in, and what would be wrong of the one that it goes out in. */
const ofAnotherMessage = new Set(["content-type", "content-encoding", "grpc-encoding", "grpc-status", "grpc-message"]);

/**
 * An error as gRPC trailers; with a content type, as the one header block of a Trailers-Only response. Metadata and details of
 * the error go along. Not indexed: hardly two errors are alike.
 */
export function statusFields(error: ConnectError, contentType?: string): Field[] {
  const fields = contentType === undefined ? [] : [ok, new Field("content-type", contentType)];
  fields.push(new Field("grpc-status", String(error.code)));
  fields.push(new Field("grpc-message", encodeMessage(error.rawMessage), Indexing.without));
  setTrailerStatus(new Headers(), wellFormed(error)).forEach((value, name) => {
    const field = new Field(name, value, Indexing.without);
    if (field.kind === FieldKind.regular && !ofAnotherMessage.has(name)) fields.push(field);
  });
  return fields;
}

/** Half a surrogate pair in the message, which Connect's encoding throws at, becomes U+FFFD. */
function wellFormed(error: ConnectError): ConnectError {
  const message = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(error.rawMessage));
  if (message === error.rawMessage) return error;
  const copy = new ConnectError(message, error.code, error.metadata);
  copy.details = error.details;
  return copy;
}

/** Answers a request that is no RPC: a status and a line of text, which for HEAD is left out (RFC 9110 section 9.3.2). */
export function answerHttp(stream: HttpStream, { status, message, headers }: HttpRefusal, head: boolean): void {
  const body = Buffer.from(`${message}\n`, "latin1");
  stream.sendHeaders(
    [
      new Field(":status", String(status)),
      new Field("content-type", "text/plain; charset=iso-8859-1"),
      new Field("content-length", String(body.length)),
      ...headers.map(([name, value]) => new Field(name, value)),
    ],
    head,
  );
  if (!head) stream.sendData(body, 0, body.length, true);
}

/** Bytes that a caller may go on to send after its answer before it is told to stop. */
export const maxAfterEnd = 32 << 10;

/** The rest of a request that has been answered already: dropped, and without credit, so that not much of it comes. */
export function discardRest(stream: HttpStream): StreamListener {
  let discarded = 0;
  return {
    onHeaders() {},
    onData(_bytes, start, stop, end) {
      discarded += stop - start;
      if (!end && discarded > maxAfterEnd) stream.reset(ErrorCode.noError);
    },
    onTrailers() {},
    onSent() {},
    onReset() {},
  };
}
