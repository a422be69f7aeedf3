import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cumulative, drawByWeight } from "../../src/upstream/balance/weights.ts";
import {
  type Balance,
  type Candidate,
  leastRequest,
  pickFirst,
  ringHash,
  roundRobin,
} from "../../src/upstream/balance.ts";
import { randomOf } from "../support/random.ts";
import { fakeCall } from "./fake-dial.ts";

interface Fake extends Candidate {
  activeCalls: number;
}

function candidates(weights: readonly number[]): Fake[] {
  return weights.map((weight, at) => ({ address: `10.0.0.${at + 1}:50051`, weight, activeCalls: 0 }));
}

const equal = (count: number) => candidates(new Array(count).fill(1));

/** How often each candidate is chosen in so many calls. */
function counts(balance: Balance, from: readonly Candidate[], calls: number): number[] {
  const selection = balance();
  selection.update(from);
  const found = from.map(() => 0);
  for (let at = 0; at < calls; at++) found[selection.pick(fakeCall({ headers: { "x-user": [`user-${at}`] } }))]!++;
  return found;
}

const all: [name: string, Balance][] = [
  ["roundRobin()", roundRobin()],
  ["leastRequest()", leastRequest(randomOf(1))],
  ["ringHash()", ringHash({ header: "x-user" }, randomOf(1))],
  ["pickFirst()", pickFirst()],
];

describe.each(all)("%s", (_name, balance) => {
  it("yields an index that exists, however the candidates come, go and weigh", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }), { maxLength: 20 }), (lists) => {
        const selection = balance();
        for (const weights of lists) {
          selection.update(candidates(weights.map((weight) => weight + 1)));
          for (let call = 0; call < 5; call++) {
            const index = selection.pick(fakeCall());
            expect(Number.isInteger(index) && index >= 0 && index < weights.length).toBe(true);
          }
        }
      }),
    );
  });
});

describe("roundRobin()", () => {
  it("takes one after the other", () => {
    const selection = roundRobin()();
    selection.update(equal(3));
    expect(Array.from({ length: 7 }, () => selection.pick(fakeCall()))).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  it("goes on where it was when another comes", () => {
    const selection = roundRobin()();
    selection.update(equal(3));
    selection.pick(fakeCall());
    selection.update(equal(4));
    expect([1, 2, 3].map(() => selection.pick(fakeCall()))).toEqual([1, 2, 3]);
  });

  it("mixes weights 5, 1 and 1 as nginx does", () => {
    const selection = roundRobin()();
    selection.update(candidates([5, 1, 1]));
    const letters = Array.from({ length: 14 }, () => "abc"[selection.pick(fakeCall())]);
    expect(letters.join("")).toBe("aabacaaaabacaa");
  });

  it("gives each exactly its weight in every round", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 }), (weights) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const found = counts(roundRobin(), candidates(weights), total);
        const same = weights.every((weight) => weight === weights[0]);
        expect(found).toEqual(weights);
        if (same) expect(found).toEqual(weights.map(() => total / weights.length));
      }),
    );
  });
});

describe("leastRequest()", () => {
  it("of two takes the less busy one", () => {
    const selection = leastRequest()();
    const two = equal(2);
    two[0]!.activeCalls = 1;
    selection.update(two);
    expect(Array.from({ length: 20 }, () => selection.pick(fakeCall()))).toEqual(new Array(20).fill(1));
  });

  it("never takes the busiest of three, and the others alike", () => {
    const three = equal(3);
    three[0]!.activeCalls = 10;
    const [busiest, second, third] = counts(leastRequest(randomOf(7)), three, 3_000);
    expect(busiest).toBe(0);
    expect(Math.abs(second! - third!)).toBeLessThan(300);
  });

  it("gives shares by weight where nothing is in flight", () => {
    const [heavy, light] = counts(leastRequest(randomOf(3)), candidates([9, 1]), 10_000);
    expect(heavy! / (heavy! + light!)).toBeCloseTo(0.9, 1);
  });

  it("keeps calls in flight close together where endpoints are of different speed", () => {
    const ten = equal(10);
    const random = randomOf(11);
    const selection = leastRequest(random)();
    selection.update(ten);
    let peak = 0;
    for (let call = 0; call < 20_000; call++) {
      ten[selection.pick(fakeCall())]!.activeCalls++;
      // one call a step comes; each endpoint ends one in 5 steps, the last one in 15
      ten.forEach((one, at) => {
        if (one.activeCalls > 0 && random() < (at === 9 ? 1 / 15 : 1 / 5)) one.activeCalls--;
      });
      peak = Math.max(peak, ten[9]!.activeCalls);
    }
    expect(peak).toBeLessThan(8); // round robin would let some 700 pile up there
  });

  it("counts calls in flight per unit of weight", () => {
    const two = candidates([4, 1]);
    two[0]!.activeCalls = 3;
    two[1]!.activeCalls = 1;
    const [heavy, light] = counts(leastRequest(randomOf(5)), two, 1_000);
    // the light one only where it is drawn twice: 1 in 25
    expect(heavy).toBeGreaterThan(900);
    expect(light).toBeGreaterThan(0);
  });
});

describe("pickFirst()", () => {
  it("takes the first", () => {
    expect(counts(pickFirst(), equal(3), 10)).toEqual([10, 0, 0]);
  });
});

describe("ringHash()", () => {
  const keys = Array.from({ length: 5_000 }, (_, at) => `user-${at}`);
  const byUser = ringHash({ header: "X-User" });

  /** The address that each key is sent to. */
  function placed(from: readonly Candidate[]): string[] {
    const selection = byUser();
    selection.update(from);
    return keys.map((key) => from[selection.pick(fakeCall({ headers: { "x-user": [key] } }))]!.address);
  }

  it("sends a key to the same endpoint, in whatever order they come", () => {
    const five = equal(5);
    expect(placed([...five].reverse())).toEqual(placed(five));
  });

  it.each([0, 1, 2, 3, 4])("moves no other key when endpoint %s leaves", (leaving) => {
    const five = equal(5);
    const before = placed(five);
    const after = placed(five.filter((_, at) => at !== leaving));
    const gone = five[leaving]!.address;
    const moved = before.filter((address, at) => address !== after[at]);
    expect(moved.every((address) => address === gone)).toBe(true);
    expect(moved.length).toBe(before.filter((address) => address === gone).length);
  });

  it("moves keys to the one that comes only", () => {
    const before = placed(equal(5));
    const after = placed(equal(6));
    const moved = after.filter((address, at) => address !== before[at]);
    expect(new Set(moved)).toEqual(new Set(["10.0.0.6:50051"]));
    expect(moved.length / keys.length).toBeCloseTo(1 / 6, 1);
  });

  it("shares keys out by weight", () => {
    const four = candidates([1, 1, 1, 3]);
    const found = placed(four);
    for (const { address, weight } of four) {
      const share = found.filter((one) => one === address).length / keys.length;
      expect(Math.abs(share - weight / 6)).toBeLessThan(0.06);
    }
  });

  it("sends a call without the header anywhere", () => {
    const selection = ringHash({ header: "x-user" }, randomOf(2))();
    const three = equal(3);
    selection.update(three);
    const found = [0, 0, 0];
    for (let at = 0; at < 900; at++) found[selection.pick(fakeCall())]!++;
    for (const count of found) expect(count).toBeGreaterThan(200);
  });

  it("goes by the caller's address where asked to", () => {
    const selection = ringHash("peer_address")();
    selection.update(equal(5));
    const pick = (address: string, port: number) => selection.pick(fakeCall({ peer: { address, port } }));
    expect(pick("192.0.2.1", 1)).toBe(pick("192.0.2.1", 2));
    const many = Array.from({ length: 50 }, (_, at) => pick(`192.0.2.${at}`, 1));
    expect(new Set(many).size).toBe(5);
  });

  it("is quick to build where weights are those of SRV records", () => {
    const found = counts(ringHash({ header: "x-user" }), candidates([65_535, 65_535, 1]), 2_000);
    expect(found[0]! + found[1]!).toBeGreaterThan(1_990);
  });

  it("refuses a header without a name", () => {
    expect(() => ringHash({ header: "" })).toThrow(TypeError);
  });
});

describe("drawByWeight()", () => {
  it("never draws a weight of 0, and every other by its share", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(5), { minLength: 1, maxLength: 8 }).filter((weights) => weights.some((weight) => weight > 0)),
        fc.double({ min: 0, max: 0.999_999_9, noNaN: true }),
        (weights, random) => {
          const index = drawByWeight(cumulative(weights.map((weight) => ({ weight }))), random);
          const before = weights.slice(0, index).reduce((sum, weight) => sum + weight, 0);
          const point = random * weights.reduce((sum, weight) => sum + weight, 0);
          expect(weights[index]).toBeGreaterThan(0);
          expect(point).toBeGreaterThanOrEqual(before);
          expect(point).toBeLessThan(before + weights[index]!);
        },
      ),
    );
  });
});
