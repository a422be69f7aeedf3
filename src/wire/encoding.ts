/** Names of message encodings, and the headers that list them. */
import { trimSpace } from "./white-space.ts";

/** "Not compressed", in every protocol. */
const identity = "identity";

/** True for a value of grpc-encoding, content-encoding or the like by which messages are compressed. */
export function isCompressed(encoding: string | undefined): encoding is string {
  return encoding !== undefined && encoding !== "" && encoding !== identity;
}

/**
 * Reads a list such as grpc-accept-encoding or accept-encoding: names in the order of the list, without weights. What has weight 0
 * is refused, and so left out.
 */
export function parseEncodings(value: string | undefined): string[] {
  if (value === undefined) return [];
  const names: string[] = [];
  for (const part of value.split(",")) {
    const [name = "", ...parameters] = part.split(";").map((text) => trimSpace(text).toLowerCase());
    if (name !== "" && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) names.push(name);
  }
  return names;
}
