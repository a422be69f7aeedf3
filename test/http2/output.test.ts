import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Output } from "../../src/http2/output.ts";
import { atEndOfTurn, turn } from "../../src/http2/turn.ts";
import { type MemorySocket, settle, socketPair } from "./memory-socket.ts";
import { startServer } from "./raw-peer.ts";

function outputTo(maxBuffered = 256 << 10): { output: Output; socket: MemorySocket; arrived: () => Buffer } {
  const [socket, other] = socketPair();
  const chunks: Buffer[] = [];
  other.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { output: new Output(socket, maxBuffered), socket, arrived: () => Buffer.concat(chunks) };
}

/** What a frame header does: a few bytes at `at`. */
function put(output: Output, text: string): void {
  output.reserve(text.length);
  for (const char of text) output.block[output.at++] = char.charCodeAt(0);
}

describe("Output", () => {
  it("sends headers and payloads in order, copied and as slices, whatever their sizes", async () => {
    const size = fc.oneof(fc.nat(200), fc.integer({ min: 4_000, max: 4_200 }), fc.nat(100_000));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(size, fc.boolean()), { maxLength: 30 }), async (payloads) => {
        const { output, socket, arrived } = outputTo(1 << 30);
        const expected: Buffer[] = [];
        for (const [index, [length, pause]] of payloads.entries()) {
          const source = Buffer.alloc(length + 20, `payload ${index} `);
          put(output, `frame ${index};`);
          output.append(source, 7, 7 + length);
          expected.push(Buffer.from(`frame ${index};`), source.subarray(7, 7 + length));
          socket.stalled = pause; // what is in flight meanwhile must not change: the socket checks it
          if (pause) await settle(1);
        }
        socket.release();
        await settle();
        expect(arrived().equals(Buffer.concat(expected))).toBe(true);
        expect(output.written).toBe(arrived().length);
      }),
      { numRuns: 60 },
    );
  });

  it("sends a large payload at the end of the turn, also where nothing was written before it", async () => {
    const { output, arrived } = outputTo();
    output.append(Buffer.alloc(10_000, "x"), 0, 10_000);
    await settle();
    expect(arrived().length).toBe(10_000);
  });

  it("keeps frames that stand in what was read in their order with all others, and joins those that touch", async () => {
    const frame = fc.record({
      size: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 3_000, max: 9_000 })),
      gap: fc.boolean(),
      other: fc.constantFrom("", "", "", "small", "large", "flush"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 25 }), fc.integer({ min: 1, max: 4 }), async (frames, chunks) => {
        const { output, arrived } = outputTo(60_000);
        const expected: Buffer[] = [];
        for (let at = 0; at < chunks; at++) {
          const chunk = Buffer.from(Array.from({ length: 300_000 }, (_, byte) => byte + at));
          let start = 0;
          for (const { size, gap, other } of frames) {
            if (gap) start += 20;
            output.appendInPlace(chunk, start, start + size);
            expected.push(chunk.subarray(start, start + size));
            start += size;
            if (other === "flush") output.flush();
            if (other === "small" || other === "large") {
              const body = Buffer.alloc(other === "small" ? 10 : 5_000, other);
              put(output, "header");
              output.append(body, 0, body.length);
              expected.push(Buffer.from("header"), body);
            }
          }
        }
        await settle();
        expect(arrived().equals(Buffer.concat(expected))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("writes once a turn, copied and sliced payloads together", async () => {
    const { output, socket } = outputTo();
    for (let frame = 0; frame < 50; frame++) {
      put(output, "header");
      output.append(Buffer.alloc(frame * 200), 0, frame * 200);
    }
    expect(socket.writes).toBe(0);
    await settle(1);
    expect(socket.writes).toBe(1);
    put(output, "another turn");
    await settle(1);
    expect(socket.writes).toBe(2);
    await settle();
    expect(socket.writes).toBe(2);
  });

  it("writes before the end of the turn once slices are more than may wait", () => {
    const { output, socket } = outputTo(100_000);
    for (let frame = 0; frame < 8; frame++) output.append(Buffer.alloc(16_384), 0, 16_384);
    expect(socket.writes).toBe(1);
    expect(output.congested).toBe(true);
  });

  it("is congested from more bytes than may wait, until the socket has drained", async () => {
    const { output, socket } = outputTo(50_000);
    socket.on("drain", () => output.drained());
    socket.stalled = true;
    put(output, "x".repeat(40_000));
    output.flush();
    expect(output.congested).toBe(false);
    put(output, "x".repeat(20_000));
    output.flush();
    expect(output.congested).toBe(true);
    expect(output.buffered).toBe(60_000);
    socket.release();
    await settle();
    expect(output.congested).toBe(false);
  });

  it("isn't congested where the socket takes more without a word, for it would never tell that it has drained", () => {
    const { output } = outputTo(10);
    put(output, "x".repeat(1_000));
    output.flush();
    expect(output.congested).toBe(false);
  });

  it("starts with a small block, and doesn't use more than it has to", () => {
    const { output } = outputTo();
    expect(output.block.length).toBe(1_024);
    const { block } = output;
    for (let at = 0; at < 60; at++) put(output, "0123456789");
    expect(output.block).toBe(block);
    put(output, "x".repeat(300_000));
    expect(output.block.length).toBe(300_000);
    put(output, "x");
    expect(output.block.length).toBe(64 << 10);
  });

  it("writes nothing once it is closed", async () => {
    const { output, socket } = outputTo();
    put(output, "gone");
    output.append(Buffer.alloc(10_000), 0, 10_000);
    output.close();
    put(output, "x".repeat(10_000));
    output.flush();
    await settle();
    expect(socket.writes).toBe(0);
  });
});

describe("atEndOfTurn()", () => {
  it("runs each task once, those of one turn together, and those that they add in the next", async () => {
    const order: string[] = [];
    const task = (name: string, more?: () => void) => ({
      endTurn() {
        order.push(name);
        more?.();
      },
    });
    atEndOfTurn(task("a", () => atEndOfTurn(task("c"))));
    atEndOfTurn(task("b"));
    expect(order).toEqual([]);
    await settle(1);
    expect(order.slice(0, 2)).toEqual(["a", "b"]);
    await settle();
    expect(order).toEqual(["a", "b", "c"]);
  });

  it("keeps one clock for a chunk and all that comes of it", async () => {
    const { peer, owner } = await startServer();
    const before = turn.now;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(turn.now).toBe(before);
    await peer.send(Buffer.alloc(0), Buffer.from("000008060000000000000000000000000000", "hex").subarray(0, 17));
    expect(turn.now).toBeGreaterThan(before);
    expect(owner.closed).toBe(false);
  });
});
