import { describe, expect, it } from "vitest";
import { checkSettings, defaultSettings } from "../../src/http2/settings.ts";

describe("checkSettings()", () => {
  it.each([{}, defaultSettings, { initialWindowSize: 65_535, headerTableSize: 0, streamIdleTimeoutMs: 0 }])(
    "takes %j",
    (settings) => {
      expect(() => checkSettings(settings)).not.toThrow();
    },
  );

  it.each<[settings: object, message: string]>([
    [{ maxFrameSize: 16_383 }, "maxFrameSize must be a number from 16384 to 16777215, not 16383"],
    [{ initialWindowSize: 2 ** 31 }, "initialWindowSize must be a number from 65535 to 2147483647, not 2147483648"],
    [{ initialWindowSize: 65_534 }, "initialWindowSize"],
    [{ connectionWindowSize: 0 }, "connectionWindowSize"],
    [{ maxConcurrentStreams: 0 }, "maxConcurrentStreams"],
    [{ maxConcurrentStreams: Number.NaN }, "not NaN"],
    [{ resetBurst: "200" }, "resetBurst"],
    [{ keepaliveIntervalMs: -1 }, "keepaliveIntervalMs"],
    [{ maxStreams: 5 }, "there is no setting maxStreams"],
  ])("refuses %j and names it", (settings, message) => {
    expect(() => checkSettings(settings)).toThrow(RangeError);
    expect(() => checkSettings(settings)).toThrow(message);
  });
});
