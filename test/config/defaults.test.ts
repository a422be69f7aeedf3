import { describe, expect, it } from "vitest";
import { defaultSettings as http1 } from "../../src/http1/settings.ts";
import { defaultSettings as http2 } from "../../src/http2/settings.ts";

const seconds = 1_000;
const minutes = 60 * seconds;

describe("the defaults", () => {
  it("of times are those of the table of faults (D1)", () => {
    expect(http2).toMatchObject({
      prefaceTimeoutMs: 10 * seconds,
      headerBlockTimeoutMs: 30 * seconds,
      streamIdleTimeoutMs: 5 * minutes,
      connectionIdleTimeoutMs: 60 * minutes,
    });
    expect(http1).toMatchObject({
      headerTimeoutMs: 30 * seconds,
      bodyIdleTimeoutMs: 60 * seconds,
      streamIdleTimeoutMs: 5 * minutes,
    });
  });

  it("of sizes and budgets are those of the table of faults", () => {
    expect(http2).toMatchObject({
      maxConcurrentStreams: 100,
      initialWindowSize: 65_535,
      connectionWindowSize: 1 << 20,
      maxHeaderListSize: 16 << 10,
      maxHeaderFields: 128,
      maxContinuationFrames: 8,
      maxSettingsEntries: 32,
      maxQueuedControlFrames: 1_000,
      resetBurst: 200,
      resetsPerSecond: 20,
      maxSocketBuffer: 256 << 10,
    });
    expect(http1).toMatchObject({
      initialWindowSize: 65_535,
      maxHeaderSection: 16 << 10,
      maxHeaderFields: 128,
      maxSocketBuffer: 256 << 10,
    });
  });
});
