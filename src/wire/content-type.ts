/** `content-type`: which protocol a request speaks, and which codec its messages are in. */
import { trimSpace } from "./white-space.ts";

/** How messages and status lie in a body. Connect's unary calls have a content type for each codec and no envelopes. */
export type Framing = "grpc" | "grpc_web" | "grpc_web_text" | "connect_stream" | "connect_unary";

/** What a content type says of a call. */
export interface ContentType {
  readonly framing: Framing;
  /** "proto", "json" or whatever else the two ends agreed upon: a proxy passes them all. */
  readonly codec: string;
}

/** gRPC over HTTP/2, "Requests": no suffix means protobuf. Connect's streams must name their codec. */
const defaultCodec = "proto";

/** Media types by framing; each is followed by nothing, `+codec` or `;parameters`. */
const framings = new Map<string, Framing>([
  ["application/grpc", "grpc"],
  ["application/grpc-web", "grpc_web"],
  ["application/grpc-web-text", "grpc_web_text"],
  ["application/connect", "connect_stream"],
]);

const typeOf = {
  grpc: "application/grpc",
  grpc_web: "application/grpc-web",
  grpc_web_text: "application/grpc-web-text",
};

/** `application/` and one token (RFC 9110 section 8.3.1) without what would make it a type of another kind. */
const unaryType = /^application\/([a-z0-9!#$&^_.-]+)$/;

/** What nearly every call sends, ready made. */
const common = new Map<string, ContentType>();
for (const codec of ["proto", "json"]) {
  for (const [type, framing] of framings) common.set(`${type}+${codec}`, { framing, codec });
  common.set(`application/${codec}`, { framing: "connect_unary", codec });
}
for (const framing of ["grpc", "grpc_web", "grpc_web_text"] as const) {
  common.set(typeOf[framing], { framing, codec: defaultCodec });
}

/**
 * Reads a request's content type. `application/anything` may be a unary call of Connect: who offers no other services can tell
 * from the codec, or from Connect-Protocol-Version.
 *
 * @param value the header, or undefined where there is none
 * @returns undefined for anything that isn't an RPC we carry: the answer is HTTP 415
 */
export function parseContentType(value: string | undefined): ContentType | undefined {
  if (value === undefined) return undefined;
  return common.get(value) ?? parse(value);
}

function parse(value: string): ContentType | undefined {
  const media = mediaType(value);
  const plus = media.indexOf("+");
  const framing = framings.get(plus === -1 ? media : media.slice(0, plus));
  const codec = plus === -1 ? "" : media.slice(plus + 1);
  if (framing === undefined) {
    const unary = unaryType.exec(media);
    return unary === null ? undefined : { framing: "connect_unary", codec: unary[1]! };
  }
  if (codec !== "") return { framing, codec };
  return framing === "connect_stream" ? undefined : { framing, codec: defaultCodec };
}

/** Without parameters, in lower case: "application/json". */
export function mediaType(contentType: string): string {
  const parameters = contentType.indexOf(";");
  return trimSpace(parameters === -1 ? contentType : contentType.slice(0, parameters)).toLowerCase();
}
