/** The fields that every peer knows from the start (RFC 7541 appendix A). */
import { Field } from "../field.ts";

const entries: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** The number of fields, and the index of the last: the dynamic table begins after it. */
export const staticLength = entries.length;

/** The fields at their index, which counts from 1. */
export const staticFields: readonly (Field | undefined)[] = [undefined, ...entries.map((entry) => new Field(...entry))];

/** The index of a field by its key. */
export const staticIndexByKey: ReadonlyMap<string, number> = indexBy((field) => field.key);

/** The first index of a name. */
export const staticIndexByName: ReadonlyMap<string, number> = indexBy((field) => field.name);

function indexBy(keyOf: (field: Field) => string): Map<string, number> {
  const indices = new Map<string, number>();
  for (let index = staticLength; index > 0; index--) indices.set(keyOf(staticFields[index]!), index);
  return indices;
}
