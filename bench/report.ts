/** From figures to text: medians, ratios of the same round, Markdown tables, budgets. */
import type { Figures, Scenario } from "./scenarios.ts";

/** Figures of each round, by peer; a round that could not be measured is undefined. */
export type Rounds = Record<string, (Figures | undefined)[]>;

/** An upper bound of a ratio; see bench/budgets.json. */
export interface Budget {
  scenario: string;
  peer: string;
  to: string;
  /** Default: the scenario's first. */
  figure?: string;
  most: number;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/**
 * The median of the rounds' ratios. Only figures of the same round are divided: what slows the machine down for a while
 * slows both.
 *
 * @returns undefined where no round has both figures
 */
export function ratio(rounds: Rounds, peer: string, to: string, figure: string): number | undefined {
  const ratios: number[] = [];
  rounds[peer]?.forEach((figures, round) => {
    const above = figures?.[figure];
    const below = rounds[to]?.[round]?.[figure];
    if (above !== undefined && below !== undefined && below > 0) ratios.push(above / below);
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

/** One Markdown table: a row per peer, the median of each figure, and the first figure's ratio to that of the peer it is compared to. */
export function table(scenario: Scenario, rounds: Rounds): string {
  const [main] = Object.keys(scenario.figures);
  const lines = [
    `| ${scenario.title} | ${Object.values(scenario.figures).join(" | ")} | to ${scenario.comparedTo} |`,
    `|---|${"---:|".repeat(Object.keys(scenario.figures).length + 1)}`,
  ];
  for (const [peer, all] of Object.entries(rounds)) {
    const cells = Object.keys(scenario.figures).map((figure) => {
      const values = all.flatMap((figures) => figures?.[figure] ?? []);
      return values.length === 0 ? "-" : format(median(values));
    });
    lines.push(
      `| ${peer} | ${cells.join(" | ")} | ${ratio(rounds, peer, scenario.comparedTo, main!)?.toFixed(2) ?? "-"} |`,
    );
  }
  return lines.join("\n");
}

/** @returns one line per budget of a scenario that ran, and whether all are kept; one that cannot be checked is not. */
export function checkBudgets(
  budgets: Budget[],
  results: Record<string, Rounds>,
  mainFigure: (scenario: string) => string,
): { lines: string[]; ok: boolean } {
  let ok = true;
  const lines = budgets
    .filter((budget) => results[budget.scenario] !== undefined)
    .map(({ scenario, peer, to, figure, most }) => {
      const value = ratio(results[scenario]!, peer, to, figure ?? mainFigure(scenario));
      const kept = value !== undefined && value <= most;
      ok &&= kept;
      return `${kept ? "ok" : "FAIL"} ${scenario}${figure === undefined ? "" : `, ${figure}`}: ${peer} / ${to} is ${value?.toFixed(2) ?? "not measured"}, at most ${most}`;
    });
  return { lines, ok };
}

function format(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return value >= 99.5 ? value.toFixed(0) : value.toPrecision(2);
}
