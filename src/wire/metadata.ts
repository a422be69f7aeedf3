/** Metadata: what of a header list belongs to the protocol and what to the caller, and how each protocol writes the latter. */
import { base64Encode } from "@bufbuild/protobuf/wire";
import { Field, FieldKind } from "../http2/field.ts";

/**
 * Headers by which each protocol says what Connect, gRPC and gRPC-Web each say in their own way. A bridge drops them all and writes
 * those of the other side: what the caller's protocol meant by one is over, and one of the target's must be ours.
 */
const protocolNames: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "te",
  "trailer",
  // gRPC and gRPC-Web
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-status",
  "grpc-message",
  "grpc-status-details-bin",
  "x-grpc-web",
  "x-user-agent",
  // Connect
  "connect-protocol-version",
  "connect-timeout-ms",
  "connect-content-encoding",
  "connect-accept-encoding",
  "content-encoding",
  "accept-encoding",
  // says which types of the caller's protocol it would take
  "accept",
]);

/** Trailers that carry a status. */
const statusNames: ReadonlySet<string> = new Set(["grpc-status", "grpc-message", "grpc-status-details-bin"]);

/** True for grpc-status, grpc-message and grpc-status-details-bin. */
export function isStatusHeader(name: string): boolean {
  return statusNames.has(name);
}

/**
 * True for a field that is the caller's or the server's own: no pseudo-header, nothing of the connection, of the protocol or of the
 * status, and nothing that couldn't be written. The same object can then stand in a list of another protocol.
 */
export function isMetadata({ kind, name }: Field): boolean {
  return kind === FieldKind.regular && !protocolNames.has(name);
}

/** How a unary response of Connect carries trailers: as headers whose names begin so. */
const trailerPrefix = "trailer-";

/** What HTTP itself has to say beside an error's status: behind a prefix no client would find it. */
const httpNames: ReadonlySet<string> = new Set(["retry-after", "www-authenticate"]);

/** The trailers of an error as headers of a unary response of Connect: prefixed, but for those that are HTTP's. */
export function errorTrailers(trailers: readonly Field[]): Field[] {
  return [
    ...trailers.filter(({ name }) => httpNames.has(name)),
    ...prefixTrailers(trailers.filter(({ name }) => !httpNames.has(name))),
  ];
}

/** Trailers as headers of a unary response of Connect. The status, which it has elsewhere, is left out. */
export function prefixTrailers(trailers: readonly Field[]): Field[] {
  return trailers
    .filter(isMetadata)
    .map(({ name, value, indexing }) => new Field(trailerPrefix + name, value, indexing));
}

/** Parts the headers of a unary response of Connect into headers and trailers, each in their order. */
export function splitTrailers(fields: readonly Field[]): { headers: Field[]; trailers: Field[] } {
  const headers: Field[] = [];
  const trailers: Field[] = [];
  for (const field of fields) {
    const { name } = field;
    if (!name.startsWith(trailerPrefix)) headers.push(field);
    else if (name.length > trailerPrefix.length) {
      const trailer = new Field(name.slice(trailerPrefix.length), field.value, field.indexing);
      if (isMetadata(trailer)) trailers.push(trailer);
    }
  }
  return { headers, trailers };
}

/** Writes the value of a `-bin` header: base64 without padding (gRPC over HTTP/2, "Binary-Header"). */
export function encodeBinary(bytes: Uint8Array): string {
  return base64Encode(bytes, "std_raw");
}
