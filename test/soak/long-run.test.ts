/**
 * Row G3: half an hour of traffic as real life has it, of which a fifth is cancelled, while upstreams restart each minute; memory
 * must stay where it is. Prints its figures. SOAK_SCALE=0.1 makes it a tenth as long, SOAK_RATE sets the calls a second.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, vi } from "vitest";
import { check, onRuntime, runtime } from "../runtimes/suite.ts";
import { adminAddress, startManifold } from "../support/manifold.ts";
import { cpuMs, type Program, residentBytesOfTree, start } from "../support/program.ts";
import { skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { sleep, until } from "../support/until.ts";

const scale = Number(process.env.SOAK_SCALE ?? 1);
const callsPerSecond = Number(process.env.SOAK_RATE ?? 100);
const minutes = 30;
/** The first growth of a heap is no leak. */
const warmUpMinutes = 5;
const minuteMs = 60_000 * scale;
const cancelledShare = 0.2;
/** What Manifold may keep open to each endpoint. */
const connectionsPerEndpoint = 4;
const service = "manifold.test.v1.Test";
/** Calls whose replies are held until they are whole, so that each of them is tried again. */
const retried = ["unary", "client stream", "grpc-web unary", "connect unary"];

const [load, backend] = [findTool("load"), findTool("backend")];
const ready = load !== undefined && backend !== undefined;
if (!ready) skipAbsent("soak", "no load or backend: test/go/build");

/** A line of `load mix`: a call that isn't as it must be. Times in ms since 1970. */
interface Failure {
  kind: string;
  code: number;
  wrong: boolean;
  message: string;
  began_ms: number;
  ended_ms: number;
}

interface Summary {
  kinds: Record<string, { calls: number; cancelled: number; failed: number; wrong: number }>;
}

vi.setConfig({ testTimeout: minutes * minuteMs + 300_000 });

onRuntime("long run", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function startBackend(port = 0): Promise<{ program: Program; port: number; url: string }> {
    const program = start([backend!, "--listen", `127.0.0.1:${port}`]);
    cleanups.push(() => program.stop("SIGKILL"));
    const found = await until("the backend", () => /listening \S+:(\d+)/.exec(program.stdout())?.[1]);
    return { program, port: Number(found), url: `http://127.0.0.1:${found}` };
  }

  async function stage(endpoints: string[]) {
    const folder = mkdtempSync(join(tmpdir(), "manifold-test-admin-"));
    const retry = { attempts: 3, on: ["unavailable"], keep_request: "1MiB", hold_reply: "64KiB" };
    const manifold = await startManifold({
      runtime,
      env: { XDG_RUNTIME_DIR: folder },
      config: {
        listeners: [{ address: "127.0.0.1:0" }],
        upstreams: { main: { endpoints, limits: { retries: 1_000 } } }, // all calls that are cut off are tried again at once
        routes: [
          { match: { method: `${service}/Unary` }, to: "main", retry },
          { match: { method: `${service}/ClientStream` }, to: "main", retry },
          { to: "main" },
        ],
        admin: { address: "127.0.0.1:0" },
      },
    });
    cleanups.push(
      () => rmSync(folder, { recursive: true }),
      () => manifold.stop(),
    );
    return manifold;
  }

  check("G3: half an hour, a fifth of the calls cancelled, upstreams restart each minute: memory stays", async () => {
    const seconds = (minutes * minuteMs) / 1_000;
    const backends = [await startBackend(), await startBackend()];
    const manifold = await stage(backends.map(({ url }) => url));
    const admin = adminAddress(manifold);
    const sockets = manifold.sockets();
    const options = { addr: `127.0.0.1:${manifold.port}`, rps: callsPerSecond, seconds, cancel: cancelledShare };
    const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const mix = start([load!, "mix", ...words]);
    cleanups.push(() => mix.stop("SIGKILL"));
    const over = once(mix.process, "close");

    const memory = watchMemory(manifold.pid);
    const cpu = cpuMs(manifold.pid) ?? 0;
    const outages: { from: number; to: number }[] = [];
    for (let minute = 0; minute < minutes - 1; minute++) {
      await sleep(minuteMs * 0.9);
      const index = minute % 2;
      const from = Date.now();
      await backends[index]!.program.stop(minute % 4 < 2 ? "SIGTERM" : "SIGKILL"); // either cuts its calls
      await sleep(minuteMs * 0.1);
      backends[index] = await startBackend(backends[index]!.port);
      outages.push({ from, to: Date.now() });
    }
    await over;
    const megabytes = memory();
    const cpuShare = ((cpuMs(manifold.pid) ?? 0) - cpu) / (seconds * 1_000);
    const { failures, kinds } = read(mix);
    const slope = slopeOf(megabytes.slice(warmUpMinutes));
    const sum = (what: "calls" | "cancelled") => Object.values(kinds).reduce((total, kind) => total + kind[what], 0);
    const left = () => manifold.sockets()! - sockets!;
    await until("sockets to be closed", () => left() <= connectionsPerEndpoint * backends.length).catch(() => {});
    const figures = {
      calls: sum("calls"),
      cancelled: sum("cancelled"),
      callsPerSecond,
      seconds,
      restarts: outages.length,
      cut: failures.length,
      megabytes,
      slope: Number(slope.toFixed(3)),
      sockets: left(),
      cpu: Number(cpuShare.toFixed(3)),
    };
    console.info(`${runtime}: G3 ${JSON.stringify(figures)}`);

    expect(mix.exit(), mix.stderr()).toBe(0);
    expect(sum("calls")).toBe(Math.floor(seconds * callsPerSecond));
    // a few have ended before
    expect(sum("cancelled") / sum("calls")).toBeGreaterThan(cancelledShare * 0.8);
    // streams that a restart cuts, and no others
    const cut = ({ code, kind, wrong, ended_ms }: Failure) =>
      code === 14 &&
      !wrong &&
      !retried.includes(kind) &&
      outages.some(({ from, to }) => ended_ms >= from - 50 && ended_ms < to + 1_000);
    expect(failures.filter((failure) => !cut(failure))).toEqual([]);
    if (megabytes.length === 0) console.warn("memory and sockets are not measured: no /proc");
    else expect(slope, "MB a minute").toBeLessThan(1);
    if (sockets !== undefined)
      expect(left(), "sockets more than before").toBeLessThanOrEqual(connectionsPerEndpoint * backends.length);
    const state = (await (await fetch(`http://${admin}/upstreams`)).json()) as {
      upstreams: { endpoints: { streams: number; pending: number }[] }[];
    };
    const open = state.upstreams
      .flatMap((upstream) => upstream.endpoints)
      .map(({ streams, pending }) => streams + pending);
    expect(open, "calls open at the endpoints").toEqual([0, 0]);
    expect(manifold.program.exit()).toBeUndefined();
  });
});

function read(mix: Program): { failures: Failure[]; kinds: Summary["kinds"] } {
  const lines = mix.stdout().trim().split("\n");
  const { kinds } = JSON.parse(lines.pop() || '{"kinds":{}}') as Summary;
  return { failures: lines.map((line) => JSON.parse(line) as Failure), kinds };
}

/** Looks each second; ends with the median of each minute, in MB. Nothing where there is no /proc. */
function watchMemory(pid: number): () => number[] {
  const samples: number[][] = [];
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const bytes = residentBytesOfTree(pid);
    const minute = Math.floor((performance.now() - startedAt) / minuteMs);
    if (bytes === undefined || minute >= minutes) return;
    samples[minute] ??= [];
    samples[minute].push(bytes / 2 ** 20);
  }, 1_000 * scale);
  return () => {
    clearInterval(timer);
    return samples.map((minute) => Number(minute.sort((a, b) => a - b)[minute.length >> 1]!.toFixed(1)));
  };
}

/** Least squares: what the values rise by, from each to the next. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const above = values.reduce((sum, value, at) => sum + (at - middle) * (value - mean), 0);
  return above / values.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
}
