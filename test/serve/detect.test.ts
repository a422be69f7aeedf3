import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { watchEveryMs } from "../../src/http2/watch.ts";
import { type Detected, detect } from "../../src/serve/detect.ts";
import { preface } from "../http2/raw-peer.ts";

class FakeSocket extends EventEmitter {
  destroyed = false;
  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

function detectIn(chunks: readonly Buffer[]): { socket: FakeSocket; told: Detected[]; read: number } {
  const socket = new FakeSocket();
  const told: Detected[] = [];
  detect(socket as unknown as Socket, 10_000, (detected) => told.push(detected));
  let read = 0;
  for (const chunk of chunks) {
    if (told.length > 0) break;
    socket.emit("data", chunk);
    read += chunk.length;
  }
  return { socket, told, read };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("detect()", () => {
  it("knows HTTP/2 by its preface, however that is cut, and gives back all that it read", () => {
    const more = Buffer.concat([preface, Buffer.from("frames")]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(more.length), { maxLength: 8 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), more.length];
        const { told, read } = detectIn(places.slice(1).map((stop, at) => more.subarray(places[at], stop)));
        expect(told).toHaveLength(1);
        expect(told[0]!.protocol).toBe("http2");
        expect(Buffer.from(told[0]!.head).equals(more.subarray(0, read))).toBe(true);
        expect(vi.getTimerCount()).toBe(0);
      }),
    );
  });

  it.each([
    ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\r\n", "http1"],
    ["PRI * HTTP/1.1\r\n", "PRI * HTTP/1.1\r\n", "http1"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", "http1"],
    ["GET /\r\nhost: a\r\n", "GET /\r\n", "unknown"],
    ["hello\nHTTP/1.1\n", "hello\n", "unknown"],
    ["\x16\x03\x01", "\x16", "unknown"],
    ["x".repeat(9_000), "x".repeat(8 << 10), "http1"],
  ])("knows %.30j as soon as it can", (text, head, protocol) => {
    const bytes = Array.from(text, (char) => Buffer.from(char, "latin1"));
    const { told, read } = detectIn(bytes);
    expect(told).toEqual([{ protocol, head: Buffer.from(head, "latin1") }]);
    expect(read).toBe(head.length);
  });

  it("destroys a socket that says too little for too long, and tells nothing", () => {
    const { socket, told } = detectIn([preface.subarray(0, 23)]);
    vi.advanceTimersByTime(9_999);
    expect(socket.destroyed).toBe(false);
    vi.advanceTimersByTime(1 + watchEveryMs);
    expect(socket.destroyed).toBe(true);
    expect(told).toEqual([]);
  });

  it("listens no more once it is over", () => {
    const decided = detectIn([preface]).socket;
    const closed = detectIn([]).socket;
    closed.emit("close");
    for (const socket of [decided, closed])
      expect(socket.listenerCount("data") + socket.listenerCount("close")).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
