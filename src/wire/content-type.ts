/** `content-type`: which protocol a request speaks, and which codec its messages are in. */

/** What a content type says of a call. */
export interface ContentType {
  readonly protocol: "grpc";
  /** "proto", "json" or whatever else the two ends agreed upon: a proxy passes them all. */
  readonly codec: string;
}

/** Media types by protocol; each is followed by nothing, `+codec` or `;parameters`. */
const protocols: readonly (readonly [type: string, protocol: ContentType["protocol"]])[] = [
  ["application/grpc", "grpc"],
];

/** gRPC over HTTP/2, "Requests": no suffix means protobuf. */
const defaultCodec = "proto";

/** What nearly every call sends, ready made. */
const common = new Map<string, ContentType>([
  ["application/grpc", { protocol: "grpc", codec: defaultCodec }],
  ["application/grpc+proto", { protocol: "grpc", codec: "proto" }],
  ["application/grpc+json", { protocol: "grpc", codec: "json" }],
]);

/**
 * Reads a request's content type.
 *
 * @param value the header, or undefined where there is none
 * @returns undefined for anything that isn't an RPC we carry: the answer is HTTP 415
 */
export function parseContentType(value: string | undefined): ContentType | undefined {
  if (value === undefined) return undefined;
  return common.get(value) ?? parse(value);
}

function parse(value: string): ContentType | undefined {
  const parameters = value.indexOf(";");
  const media = (parameters === -1 ? value : value.slice(0, parameters)).trim().toLowerCase();
  const plus = media.indexOf("+");
  const type = plus === -1 ? media : media.slice(0, plus);
  const codec = plus === -1 ? "" : media.slice(plus + 1);
  for (const [known, protocol] of protocols) {
    if (type === known) return { protocol, codec: codec === "" ? defaultCodec : codec };
  }
  return undefined;
}
