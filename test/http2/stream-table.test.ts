import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Http2Stream } from "../../src/http2/stream.ts";
import { StreamTable } from "../../src/http2/stream-table.ts";

const stream = (id: number) => ({ id }) as Http2Stream;

/** Odd ids, near each other and far apart, many of which share a slot. */
const anyId = fc.oneof(fc.nat(60), fc.nat(2_000), fc.constantFrom(1 << 10, 1 << 20, 2 ** 30 - 1)).map((n) => n * 2 + 1);

describe("StreamTable", () => {
  it("does what a Map does", () => {
    const step = fc.record({ action: fc.constantFrom("add", "add", "delete", "get"), id: anyId });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new StreamTable(true);
        const model = new Map<number, Http2Stream>();
        for (const { action, id } of steps) {
          if (action === "add" && !model.has(id)) {
            const added = stream(id);
            table.add(added);
            model.set(id, added);
          } else if (action === "delete") {
            table.delete(id, false);
            model.delete(id);
          }
          expect(table.get(id)).toBe(model.get(id));
          expect(table.size).toBe(model.size);
        }
        for (const [id, known] of model) expect(table.get(id)).toBe(known);
        expect(table.all()).toEqual([...model.values()].sort((a, b) => a.id - b.id));
      }),
      { numRuns: 500 },
    );
  });

  it("finds streams that share a slot after those before them are gone", () => {
    const table = new StreamTable(true);
    const ids = Array.from({ length: 8 }, (_, at) => at * 32 + 1); // 16 slots, one for all
    for (const id of ids) table.add(stream(id));
    for (const id of ids) {
      expect(ids.map((other) => table.get(other)?.id)).toEqual(ids.map((other) => (other < id ? undefined : other)));
      table.delete(id, false);
    }
    expect(table.size).toBe(0);
  });

  it("gives a copy to walk", () => {
    const table = new StreamTable(true);
    for (const id of [1, 3, 5]) table.add(stream(id));
    for (const { id } of table.all()) table.delete(id, false);
    expect(table.size).toBe(0);
  });

  it("knows the ids that nobody has used yet", () => {
    const server = new StreamTable(true);
    server.lastPeerId = 7;
    expect([1, 7, 9, 2].map((id) => server.isIdle(id))).toEqual([false, false, true, true]);
    const client = new StreamTable(false);
    client.nextId = 7;
    expect([1, 5, 7, 2].map((id) => client.isIdle(id))).toEqual([false, false, true, true]);
  });

  it("remembers the latest 1,000 streams that it has reset, and none that ended by themselves", () => {
    const table = new StreamTable(true);
    for (let id = 1; id <= 2_401; id += 2) {
      table.add(stream(id));
      table.delete(id, true);
    }
    expect([401, 403, 2_401].map((id) => table.wasReset(id))).toEqual([false, true, true]);
    table.add(stream(3_001));
    table.delete(3_001, false);
    expect(table.wasReset(3_001)).toBe(false);
  });
});
