/**
 * Hops: the fan-outs that a call has gone through, as a header of each leg's request tells them. Proxies in a loop would make of one call
 * as many as their endpoints to the power of its length: here it ends.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Call } from "../call.ts";
import { Field, Indexing } from "../http2/field.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { trimSpace } from "../wire/white-space.ts";

/** "k3f9a2b7c1-1-1x2y3z.5g, q8s1...": places of fan-outs, outermost first, the first with a number that makes it the call's own. */
export const hopsHeader = "manifold-hops";

/** Fan-outs in a row. Trees of more levels would have millions of leaves. */
const maxHops = 8;

/**
 * Times that one call may come to one place, on different ways. A place that two of those in front have among their endpoints is reached
 * twice; where all have all, every way without a repetition would be gone: 10 proxies have a million of them.
 */
const maxVisits = 8;

/** Calls whose visits are counted: twice as many, for the older half is dropped at once. */
const maxCounted = 5_000;

/** Milliseconds that a count is kept at least, if there aren't too many. */
const countedForMs = 60_000;

/** A place, and a call's number. Ours are much shorter. */
const hopPattern = /^[\w-]{1,40}(\.\w{1,20})?$/;

/** The places of one proxy, and who has come there. */
export class Hops {
  readonly #instance = randomId();
  readonly #numbers = new WeakMap<Endpoint, number>();
  #places = 0;
  #calls = 0;
  /** How often a call has come to a place, by both; those of calls that came from other fan-outs. */
  #visits = new Map<string, number>();
  #olderVisits = new Map<string, number>();
  #visitsSince = 0;

  /**
   * A call comes to a fan-out.
   *
   * @param first of its endpoints: it, and the call's path, make the place
   * @returns the header of the legs' requests
   * @throws ConnectError `failed_precondition` if it has been here, and so would come again; after too many hops or visits;
   *   `invalid_argument` for a header that isn't of ours
   */
  enter(call: Call, first: Endpoint): Field {
    const place = this.#placeOf(call, first);
    const came = call.headerValues(hopsHeader).join(",");
    if (came === "") return field(`${place}.${(this.#calls++).toString(36)}`);
    const hops = came.split(",").map(trimSpace);
    const unknown = hops.find((hop) => !hopPattern.test(hop));
    if (unknown !== undefined) {
      throw new ConnectError(`invalid hop "${unknown.slice(0, 80)}" in header ${hopsHeader}`, Code.InvalidArgument);
    }
    if (hops.some((hop) => hop.split(".", 1)[0] === place)) throw refused("has come back to a fan-out it went through");
    if (hops.length >= maxHops) throw refused(`has gone through ${maxHops} fan-outs`);
    if (this.#visit(`${hops[0]} ${place}`) > maxVisits) throw refused(`has come here ${maxVisits} times`);
    return field(`${hops.join(", ")}, ${place}`);
  }

  #placeOf({ path }: Call, first: Endpoint): string {
    const number = this.#numbers.get(first) ?? ++this.#places;
    this.#numbers.set(first, number);
    return `${this.#instance}-${number.toString(36)}-${hashOf(path)}`;
  }

  /** They are counted for longer than a visit takes: else one after the other could come without end. */
  #visit(key: string): number {
    const now = performance.now();
    if (this.#visits.size >= maxCounted || now - this.#visitsSince > countedForMs) {
      this.#olderVisits = this.#visits;
      this.#visits = new Map();
      this.#visitsSince = now;
    }
    const count = (this.#visits.get(key) ?? this.#olderVisits.get(key) ?? 0) + 1;
    this.#visits.set(key, count);
    return count;
  }
}

function refused(what: string): ConnectError {
  const message = `call ${what}, as its header ${hopsHeader} says: there must be a loop`;
  return new ConnectError(message, Code.FailedPrecondition);
}

/** It is another for each call: no table should remember it. */
function field(value: string): Field {
  return new Field(hopsHeader, value, Indexing.without);
}

/** 60 bits: proxies that nobody has told of each other take different ones. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte & 31).toString(32)).join("");
}

/** FNV-1a: two paths with one hash would be one place, which matters only in the midst of a call that goes to both. */
function hashOf(path: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36);
}
