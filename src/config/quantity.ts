/** Durations, sizes and rates: numbers with a unit, as the configuration says them. */
import { type Parsed, right, wrong } from "./parsed.ts";

export const durationPattern = /^(\d+(\.\d+)?(ms|s|m|h))+$/;
export const sizePattern = /^(\d+)(B|KiB|MiB|GiB)?$/;

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** "500ms", "10s", "1.5s", "1h30m" to milliseconds. */
export function parseDuration(text: string): Parsed<number> {
  if (!durationPattern.test(text)) {
    const hint = /^\d+(\.\d+)?$/.test(text) ? `did you mean "${text}s"?` : "units are ms, s, m and h";
    return wrong(`not a duration: "${text}"`, hint);
  }
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    ms += Number(amount) * unitMs[unit as keyof typeof unitMs];
  }
  return right(ms);
}

/** Milliseconds as the configuration would say them: 300000 is "5m". */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"] as const)
    if (ms > 0 && ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  return ms === 0 ? "0s" : `${ms}ms`;
}

/** "64KiB", "1MiB", "1024" to bytes. */
export function parseSize(text: string): Parsed<number> {
  const match = sizePattern.exec(text);
  if (match === null) {
    const hint = /^(\d+) ?([KMG])[iI]?[bB]?$/i.exec(text);
    return wrong(
      `not a size: "${text}"`,
      hint === null ? "units are B, KiB, MiB and GiB" : `did you mean "${hint[1]}${hint[2]?.toUpperCase()}iB"?`,
    );
  }
  return right(Number(match[1]) * 1024 ** ["B", "KiB", "MiB", "GiB"].indexOf(match[2] ?? "B"));
}

/** Bytes as the configuration would say them: 65536 is "64KiB". */
export function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ["MiB", 1 << 20],
    ["KiB", 1 << 10],
  ] as const) {
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

/** "100/s", "600/m", "10/h", as calls per second. */
export function parseRate(text: string): Parsed<number> {
  const match = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(text);
  if (match === null) {
    const amount = /^\d+(?:\.\d+)?$/.test(text);
    return wrong(`not a rate: "${text}"`, amount ? `did you mean "${text}/s"?` : 'write "100/s", "600/m" or "10/h"');
  }
  const perSecond = (Number(match[1]) * 1_000) / unitMs[match[2] as keyof typeof unitMs];
  return perSecond > 0 ? right(perSecond) : wrong(`a rate of ${text} lets nobody in`, "use refuse for that");
}
