/** The many backends of a fan-out: one process of test/go/nodes, whose CPU is no proxy's. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { goProgram, type Places } from "./peers.ts";

export interface Nodes {
  readonly ports: readonly number[];
  stop(): void;
}

/** @throws Error where it can't listen on so many ports */
export async function startNodes({ root }: Places, count: number): Promise<Nodes> {
  const child = spawn(goProgram(root, "nodes"), ["--count", String(count)], { stdio: ["ignore", "pipe", "inherit"] });
  const stop = () => void child.kill("SIGKILL");
  process.once("exit", stop);
  const failed = once(child, "exit").then(() => [""]);
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
  const ports = String(line).split(" ").slice(1).map(Number);
  if (ports.length !== count) throw new Error(`${count} backends could not be started`);
  return {
    ports,
    stop() {
      process.off("exit", stop);
      stop();
    },
  };
}
