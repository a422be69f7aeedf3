/** Figures: gauges of this process and of what is open on its listeners, made when somebody asks. */
import process from "node:process";
import type { Family } from "../observe/exposition.ts";
import type { ListenerState } from "../serve/serve.ts";

export function listenerFamilies(listeners: readonly ListenerState[]): Family[] {
  const gauge = (name: string, help: string, key: "connections" | "streams"): Family => ({
    name,
    type: "gauge",
    help,
    samples: listeners.map((one) => ({ labels: { listener: `${one.address}:${one.port}` }, value: one[key] })),
  });
  return [
    gauge("manifold_downstream_connections", "Connections of callers.", "connections"),
    gauge("manifold_downstream_streams", "Calls that are open.", "streams"),
  ];
}

/** By the names that Prometheus' own clients give them. */
export function processFamilies(): Family[] {
  const { user, system } = process.cpuUsage();
  const one = (name: string, type: "counter" | "gauge", help: string, value: number): Family => {
    return { name, type, help, samples: [{ labels: {}, value }] };
  };
  return [
    one("process_cpu_seconds_total", "counter", "User and system time of all processes.", (user + system) / 1e6),
    one("process_resident_memory_bytes", "gauge", "Memory of all processes.", process.memoryUsage.rss()),
    one("manifold_processes", "gauge", "Processes that carry calls.", 1),
  ];
}
