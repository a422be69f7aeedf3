import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { settle } from "./memory-socket.ts";
import { dataFrame, Flag, FrameType, frame, headersFrame, padded, startServer, type Under } from "./raw-peer.ts";
import { request } from "./recorder.ts";

describe("credit for what is received", () => {
  /** Increments of one stream's, or the connection's, WINDOW_UPDATE frames. */
  const credit = (under: Under, id: number) =>
    under.peer.of(FrameType.windowUpdate, id).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);

  it("of the connection comes back on receipt, of a stream only as its bytes are taken (fault D2)", async () => {
    const under = await startServer({ settings: { connectionWindowSize: 100_000 } });
    under.owner.onStream = (recorder) => {
      recorder.consumes = false;
    };
    const { peer } = under;
    await peer.send(headersFrame(1, request), ...bodies(1, 65_535));
    expect(credit(under, 1)).toBe(0);
    expect(credit(under, 0)).toBeGreaterThanOrEqual(50_000);
    under.owner.streams.get(1)!.stream.consume(40_000);
    await settle();
    expect(credit(under, 1)).toBe(40_000);
  });

  it("is never more than what was received, and the window stays open to a reader that keeps up", async () => {
    const under = await startServer({ settings: { connectionWindowSize: 70_000 } });
    await under.peer.send(headersFrame(1, request));
    let sent = 0;
    for (let round = 0; round < 40; round++) {
      await under.peer.send(...bodies(1, 30_000));
      sent += 30_000;
      for (const id of [0, 1]) {
        expect(credit(under, id)).toBeLessThanOrEqual(sent);
        expect(credit(under, id)).toBeGreaterThan(sent - 70_000);
      }
    }
    expect(under.peer.goaways).toEqual([]);
    expect(under.owner.streams.get(1)!.bytes.length).toBe(sent);
  });

  it("is given for padding too", async () => {
    const under = await startServer();
    const body = frame(FrameType.data, Flag.padded, 1, padded(Buffer.from("x"), 255));
    await under.peer.send(headersFrame(1, request), ...Array.from({ length: 300 }, () => body));
    expect(under.owner.streams.get(1)!.bytes.length).toBe(300);
    expect(credit(under, 1)).toBeGreaterThan(257 * 300 - 40_000);
    expect(under.peer.goaways).toEqual([]);
  });

  it("of the connection is given for DATA of streams that are gone", async () => {
    const under = await startServer({ settings: { connectionWindowSize: 70_000 } });
    await under.peer.send(headersFrame(1, request));
    under.owner.streams.get(1)!.stream.reset(ErrorCode.cancel);
    await under.peer.send(...bodies(1, 60_000));
    expect(credit(under, 0)).toBeGreaterThanOrEqual(35_000);
    expect(credit(under, 1)).toBe(0);
  });

  it("is never a WINDOW_UPDATE of nothing, with windows of the least size either", async () => {
    const under = await startServer({ settings: { initialWindowSize: 65_535, connectionWindowSize: 65_535 } });
    await under.peer.send(headersFrame(1, request), dataFrame(1, ""), dataFrame(1, "x"), dataFrame(1, ""));
    expect(under.owner.streams.get(1)!.bytes.toString()).toBe("x");
    expect(under.peer.of(FrameType.windowUpdate)).toEqual([]);
  });

  it("isn't given to a stream whose end has come", async () => {
    const under = await startServer();
    under.owner.onStream = (recorder) => {
      recorder.consumes = false;
    };
    await under.peer.send(headersFrame(1, request), ...bodies(1, 60_000), dataFrame(1, "", Flag.endStream));
    under.owner.streams.get(1)!.stream.consume(60_000);
    await settle();
    expect(credit(under, 1)).toBe(0);
  });

  it("runs out for DATA beyond the connection's window", async () => {
    const { peer } = await startServer({ settings: { connectionWindowSize: 65_535, maxFrameSize: 1 << 20 } });
    await peer.send(headersFrame(1, request), dataFrame(1, Buffer.alloc(65_536)));
    expect(peer.goaways).toEqual([{ last: 1, code: ErrorCode.flowControlError }]);
  });
});

function bodies(id: number, bytes: number): Buffer[] {
  const frames = [];
  for (let left = bytes; left > 0; left -= 16_384) frames.push(dataFrame(id, Buffer.alloc(Math.min(left, 16_384))));
  return frames;
}
