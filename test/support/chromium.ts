/** A real Chromium, without a window, for what only a browser can show. */
import { type Browser, chromium } from "playwright-core";
import { skipAbsent } from "./runtimes.ts";
import { findTool } from "./tools.ts";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const args = [
  "--no-sandbox", // as root, in a container
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
];

/** The program: CHROMIUM, else one on PATH. */
export function findChromium(): string | undefined {
  return process.env.CHROMIUM ?? names.map(findTool).find((path) => path !== undefined);
}

/** Whether there is one; if not, the reason is printed, and under CI it is an error. */
export function hasChromium(): boolean {
  return findChromium() !== undefined || skipAbsent("browser", `no ${names.join(", ")} on PATH: set CHROMIUM`);
}

/** Starts it with a profile of its own, which goes with it. */
export function startChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error("no Chromium");
  return chromium.launch({ executablePath, args });
}
