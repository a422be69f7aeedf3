import { describe, expect, it } from "vitest";
import { http2Settings, type ListenerLimits, listenerLimits } from "../../src/config/limits.ts";
import { checkSettings, defaultSettings } from "../../src/http2/settings.ts";

/** Those of HTTP/2, which a listener and an upstream have alike. */
const keys = Object.keys(listenerLimits.shape).filter((key) => !/^http1$|^connections$|_message$/.test(key));

/** What stands at the edges of something: of counts, of sizes, of durations. */
const edges = [
  0,
  1,
  65_534,
  65_535,
  1e9,
  2 ** 31 - 1,
  2 ** 31,
  "0B",
  "1KiB",
  "4GiB",
  "0s",
  "1ms",
  "596h",
  "597h",
  "9000h",
];

describe("limits", () => {
  it("have a key for every setting", () => {
    expect(keys.toSorted()).toHaveLength(Object.keys(defaultSettings).length);
    const given = Object.fromEntries(keys.map((key) => [key, 70_000]));
    expect(Object.keys(http2Settings(given as ListenerLimits)).toSorted()).toEqual(
      Object.keys(defaultSettings).toSorted(),
    );
  });

  it.each(keys)("%s takes nothing that a connection wouldn't", (key) => {
    const taken = edges.filter((value) => listenerLimits.safeParse({ [key]: value }).success);
    expect(taken).not.toEqual([]);
    for (const value of taken) checkSettings(http2Settings(listenerLimits.parse({ [key]: value })));
  });

  it.each([
    ["initial_window_size", 65_534, "out of range: from 65535 to 2147483647 bytes"],
    ["preface_timeout", "0s", "must be more than 0"],
    ["keepalive_timeout", "0s", "must be more than 0"],
    ["keepalive_interval", "597h", "must be at most 596h"],
  ])("%s isn't %j", (key, value, message) => {
    expect(listenerLimits.safeParse({ [key]: value }).error?.issues).toMatchObject([{ message }]);
  });
});
