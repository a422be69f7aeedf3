/** `manifold check`: says all that is wrong with a configuration, or that nothing is. */
import process from "node:process";
import { loadConfig } from "../config/load.ts";

/** @throws ConfigError with every problem */
export async function check(file = "manifold.yaml"): Promise<void> {
  const { config, included, warnings } = await loadConfig(file);
  if (warnings !== "") process.stderr.write(`${warnings}\n\n`);
  const parts = [
    count(config.listeners?.length ?? 1, "listener"),
    count(Object.keys(config.upstreams ?? {}).length, "upstream"),
    count((config.routes?.length ?? 0) + included.length, "route"),
  ];
  process.stdout.write(`${file}: ok (${parts.join(", ")})\n`);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
