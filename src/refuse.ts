/** Refuse: answers of our own, in the shape that the caller understands. */
import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { HttpRefusal } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { Field, FieldKind, Indexing } from "./http2/field.ts";
import { encodeMessage } from "./wire/message.ts";

const ok = new Field(":status", "200");

/**
 * An error as gRPC trailers; with a content type, as the one header block of a Trailers-Only response. Metadata and details of
 * the error go along. Not indexed: hardly two errors are alike.
 */
export function statusFields(error: ConnectError, contentType?: string): Field[] {
  const fields = contentType === undefined ? [] : [ok, new Field("content-type", contentType)];
  fields.push(new Field("grpc-status", String(error.code)));
  fields.push(new Field("grpc-message", encodeMessage(error.rawMessage), Indexing.without));
  setTrailerStatus(new Headers(), error).forEach((value, name) => {
    if (name !== "grpc-status" && name !== "grpc-message") fields.push(new Field(name, value, Indexing.without));
  });
  return fields.filter(({ kind }) => kind !== FieldKind.malformed && kind !== FieldKind.connectionSpecific);
}

/** Answers a request that is no RPC: a status and a line of text. */
export function answerHttp(stream: HttpStream, { status, message, headers }: HttpRefusal): void {
  const body = Buffer.from(`${message}\n`, "latin1");
  stream.sendHeaders(
    [
      new Field(":status", String(status)),
      new Field("content-type", "text/plain; charset=iso-8859-1"),
      new Field("content-length", String(body.length)),
      ...headers.map(([name, value]) => new Field(name, value)),
    ],
    false,
  );
  stream.sendData(body, 0, body.length, true);
}

/** Bytes that a caller may send after its answer before it is told to stop. */
const maxAfterEnd = 32 << 10;

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
