import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { gatherLines } from "../../src/observe/lines.ts";
import { createLog, type LogOptions } from "../../src/observe/log.ts";
import { printable, printableJson } from "../../src/observe/printable.ts";

/** Whatever a terminal would act upon. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
const controls = /[\0-\x1f\x7f-\x9f\u2028\u2029\u202e]/;

function logTo(options: Partial<LogOptions>) {
  const lines: string[] = [];
  return { lines, log: createLog({ write: (line) => lines.push(line), ...options }) };
}

describe("createLog()", () => {
  it("writes one JSON object per line, in pino's shape", () => {
    const { lines, log } = logTo({});
    const before = Date.now();
    log.warn({ upstream: "users", error: new Error("refused"), count: 3n }, "endpoint can't be reached");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    const { time, ...line } = JSON.parse(lines[0]!);
    expect(time).toBeGreaterThanOrEqual(before);
    expect(line).toEqual({
      level: 40,
      upstream: "users",
      error: "refused",
      count: "3",
      msg: "endpoint can't be reached",
    });
  });

  it.each([
    ["debug", 4],
    ["info", 3],
    ["warn", 2],
    ["error", 1],
    ["silent", 0],
  ] as const)("at level %s writes %s of four levels", (level, count) => {
    const { lines, log } = logTo({ level });
    for (const one of ["debug", "info", "warn", "error"] as const) log[one]({}, "x");
    expect(lines).toHaveLength(count);
    expect(log.level).toBe(level);
  });

  it("writes for people, with colours only where they are asked for", () => {
    const plain = logTo({ format: "pretty" });
    plain.log.info({ name: "users", addresses: ["a", "b"] }, "name resolved");
    expect(plain.lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}info {3}name resolved {2}name=users {2}addresses=\["a","b"\]\n$/,
    );
    const coloured = logTo({ format: "pretty", colour: true });
    coloured.log.error({}, "x");
    expect(coloured.lines[0]).toContain("\x1b[31merror\x1b[0m");
  });

  it.each(["json", "pretty"] as const)("lets nothing through as %s that a terminal would act upon", (format) => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const { lines, log } = logTo({ format });
        log.info({ text, [text]: [text] }, text);
        expect(lines).toHaveLength(1);
        expect(lines[0]!.slice(0, -1)).not.toMatch(controls);
        expect(lines[0]!.endsWith("\n")).toBe(true);
      }),
    );
  });
});

describe("printable()", () => {
  it.each([
    ["a\nb", "a\\x0ab"],
    ["\x1b[2J", "\\x1b[2J"],
    ["\x9b2J", "\\x9b2J"],
    ["\u202egpj", "\\u202egpj"],
    ["grüße 😀", "grüße 😀"],
    ["\ud800", "\\ud800"],
  ])("writes %j as %j", (text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});

describe("printableJson()", () => {
  it("is read back as what was written", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(JSON.parse(printableJson(JSON.stringify({ text })))).toEqual({ text });
      }),
    );
  });
});

describe("gatherLines()", () => {
  it("writes many lines at once, a moment later", () => {
    vi.useFakeTimers();
    try {
      const written: string[] = [];
      const { write } = gatherLines((text) => written.push(text));
      for (let at = 0; at < 100; at++) write(`${at}\n`);
      expect(written).toEqual([]);
      vi.advanceTimersByTime(100);
      expect(written).toHaveLength(1);
      expect(written[0]?.split("\n")).toHaveLength(101);
      vi.advanceTimersByTime(1_000);
      expect(written).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it("holds back no more than a limit, and nothing after flush()", () => {
    const written: string[] = [];
    const { write, flush } = gatherLines((text) => written.push(text));
    const line = `${"x".repeat(999)}\n`;
    for (let at = 0; at < 100; at++) write(line);
    expect(written.length).toBeGreaterThanOrEqual(1);
    flush();
    flush();
    expect(written.join("")).toBe(line.repeat(100));
    expect(written).not.toContain("");
  });
});
