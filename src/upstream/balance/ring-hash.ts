/** Ring hash: calls with the same key go to the same endpoint, and when one comes or goes only its own keys move. */
import type { Call } from "../../call.ts";
import type { Balance, Candidate, Selection } from "../balance.ts";

/** What of a call is hashed: the first value of a header, or the address of who calls. */
export type HashKey = { readonly header: string } | "peer_address";

/** Points of an endpoint of weight 1: its share of the keys is off by about a tenth (one by the root of the points). */
const pointsPerWeight = 100;

/** Points of a ring at most. Beyond, they are shared out by weight, and more than its own keys may move when an endpoint leaves. */
const maxPoints = 1 << 18;

/** Ring positions are 32 bits; a point is its position and, below it, the endpoint's index. */
const indexRange = 2 ** 20;

/**
 * Consistent hashing, as Envoy's RING_HASH and ketama. A call without the header goes anywhere.
 *
 * @param random numbers in [0, 1); replaced in tests
 * @throws TypeError if the header's name is empty
 */
export function ringHash(key: HashKey, random: () => number = Math.random): Balance {
  if (key === "peer_address") return () => new RingHash((call) => call.peer.address, random);
  const name = key.header.toLowerCase();
  if (name === "") throw new TypeError("ringHash: the header needs a name");
  return () => new RingHash((call) => call.header(name), random);
}

class RingHash implements Selection {
  readonly #keyOf: (call: Call) => string | undefined;
  readonly #random: () => number;
  /** In ascending order. */
  #points = new Float64Array();

  constructor(keyOf: (call: Call) => string | undefined, random: () => number) {
    this.#keyOf = keyOf;
    this.#random = random;
  }

  update(candidates: readonly Candidate[]): void {
    const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
    const each = Math.min(pointsPerWeight, maxPoints / total);
    const points: number[] = [];
    candidates.forEach(({ address, weight }, index) => {
      const seed = hash32(address, 0);
      const count = Math.max(1, Math.floor(weight * each));
      for (let at = 0; at < count; at++) points.push(mix(seed ^ mix(at + 1)) * indexRange + index);
    });
    this.#points = Float64Array.from(points).sort();
  }

  pick(call: Call): number {
    const points = this.#points;
    const key = this.#keyOf(call);
    const hash = key === undefined ? Math.floor(this.#random() * 2 ** 32) : hash32(key, 1);
    const position = hash * indexRange;
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (points[middle]! < position) low = middle + 1;
      else high = middle;
    }
    return points[low === points.length ? 0 : low]! % indexRange;
  }
}

/** FNV-1a, which alone leaves texts that differ in their last letter close together: so it is mixed. */
function hash32(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix(hash);
}

/** The last step of MurmurHash3: every bit of the input changes half of those of the output. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
