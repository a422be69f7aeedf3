import { setImmediate as turnEnd } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Batch } from "../../src/fan-out/batch.ts";
import type { FanOut } from "../../src/fan-out/fan-out.ts";
import { EnvelopeReader, Handling } from "../../src/wire/envelope.ts";

function stage() {
  const parts: Buffer[] = [];
  const listener = {
    onData: (bytes: Uint8Array, start: number, stop: number) =>
      void parts.push(Buffer.from(bytes.subarray(start, stop))),
  };
  const fanOut = { closed: false, listener };
  return { parts, fanOut, batch: new Batch(fanOut as unknown as FanOut) };
}

function messagesIn(parts: readonly Buffer[]): string[] {
  const messages: string[] = [];
  const reader = new EnvelopeReader({
    handlingOf: () => Handling.gather,
    onMessage: (_flags, payload) => void messages.push(Buffer.from(payload).toString("latin1")),
  });
  for (const part of parts) reader.push(part, 0, part.length);
  expect(reader.atBoundary).toBe(true);
  return messages;
}

describe("Batch", () => {
  it("sends the messages of one turn as one part, at its end", async () => {
    const { parts, batch } = stage();
    for (const text of ["one", "", "three"]) batch.add(Buffer.from(text));
    expect(parts).toEqual([]);
    await turnEnd();
    expect(parts).toHaveLength(1);
    expect(messagesIn(parts)).toEqual(["one", "", "three"]);
    batch.add(Buffer.from("four"));
    await turnEnd();
    expect(messagesIn(parts)).toEqual(["one", "", "three", "four"]);
  });

  it("keeps all bytes and their order, whatever the sizes", async () => {
    const { parts, batch } = stage();
    const sizes = Array.from({ length: 500 }, (_, at) => (at * 7919) % 6000);
    for (const [at, size] of sizes.entries()) batch.add(Buffer.alloc(size, at & 0xff));
    await turnEnd();
    expect(messagesIn(parts)).toEqual(sizes.map((size, at) => Buffer.alloc(size, at & 0xff).toString("latin1")));
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(16_384);
  });

  it("does not write to what it has sent", async () => {
    const { fanOut, batch } = stage();
    const kept: [sent: Uint8Array, copy: Buffer][] = [];
    fanOut.listener.onData = (bytes, start, stop) => {
      const sent = bytes.subarray(start, stop);
      kept.push([sent, Buffer.from(sent)]);
    };
    for (let round = 0; round < 50; round++) {
      batch.add(Buffer.alloc(700, round));
      await turnEnd();
    }
    for (const [sent, copy] of kept) expect(copy.equals(sent)).toBe(true);
  });

  it("sends nothing of a call that has ended meanwhile", async () => {
    const { parts, batch, fanOut } = stage();
    batch.add(Buffer.from("too late"));
    fanOut.closed = true;
    await turnEnd();
    expect(parts).toEqual([]);
  });
});
