/** The figures of all proxies side by side, as Markdown, and which of ours are worse than Envoy's. */
import { type Attack, costs, type Figures, type ProxyName } from "./measure.ts";

export type Beside = ReadonlyMap<ProxyName, Figures>;

/**
 * What a figure may be more by before it counts: the growth of 32 MB that the table of faults allows, and what timers, the
 * machine's other work and a canary of 50 calls/s make of times.
 */
const slack: Record<string, number> = {
  [costs.cpu]: 0.3,
  [costs.peak]: 32,
  [costs.after]: 32,
  "closed after, s": 1,
  "slowest close after FIN, s": 1,
  // most of it lies in sockets of the system, which makes them as large as it likes
  "MB taken": 4,
};

/** "node: CPU, s: 2.1 (envoy 0.3)" for each figure that is worse, where both are numbers. */
export function worseThanEnvoy(beside: Beside): string[] {
  const envoy = beside.get("envoy") ?? {};
  return [...beside].flatMap(([name, figures]) =>
    Object.entries(figures).flatMap(([figure, value]) => {
      const its = envoy[figure];
      if (typeof value !== "number" || typeof its !== "number" || value <= its + (slack[figure] ?? 0)) return [];
      return [`${name}: ${figure}: ${format(value)} (envoy ${format(its)})`];
    }),
  );
}

/** Figures that share a line. */
const together: Record<string, readonly string[]> = {
  "connection, closed after s": ["connection", "closed after, s"],
  "CPU s, RSS MB at its peak, 5 s later": [costs.cpu, costs.peak, costs.after],
};

/** The lines of one attack, a figure or a few each; what is 0 for all is left out. */
export function linesOf(attack: Attack, beside: Beside): string[] {
  const all = [...beside.values()];
  const names = new Set(all.flatMap((figures) => Object.keys(figures)));
  const titles = new Map<string, readonly string[]>();
  for (const name of names) {
    const shared = Object.entries(together).find(([, of]) => of.includes(name) && of.every((each) => names.has(each)));
    if (shared !== undefined) titles.set(...shared);
    else if (all.some((figures) => figures[name] !== 0)) titles.set(name, [name]);
  }
  return [...titles].map(([title, of], at) => {
    const cells = all.map((figures) => of.map((name) => format(figures[name] ?? "")).join(", "));
    return `| ${at === 0 ? `${attack.row} | ${attack.what}` : " | "} | ${title} | ${cells.join(" | ")} |`;
  });
}

/** @param proxies in the order of the columns */
export function heading(proxies: readonly ProxyName[]): string[] {
  return [`| row | attack | figure | ${proxies.join(" | ")} |`, `|---|---|---|${"---|".repeat(proxies.length)}`];
}

function format(value: number | string): string {
  if (typeof value === "string") return value;
  if (value === Number.POSITIVE_INFINITY) return "open";
  return Number.isInteger(value) || Math.abs(value) >= 100
    ? Math.round(value).toLocaleString("en")
    : value.toFixed(value < 10 ? 2 : 1);
}
