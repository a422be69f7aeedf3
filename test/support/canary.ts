/** The canary: calls on a connection of its own, all the time that a fault is made on others. */
import { call, connectPeer, describeOutcome } from "./grpc.ts";
import { canaryPath } from "./upstream.ts";

/** 50 calls a second. */
const intervalMs = 20;

export interface Canary {
  /** Ends it once its open calls have. */
  stop(): Promise<{ calls: number; failures: string[]; slowestMs: number }>;
}

/** @param path default: the canary's own upstream; else a sibling of what is attacked */
export async function startCanary(port: number, path: string = canaryPath): Promise<Canary> {
  const peer = await connectPeer(port);
  const failures: string[] = [];
  const open = new Set<Promise<void>>();
  let calls = 0;
  let slowestMs = 0;
  const one = async () => {
    const number = ++calls;
    const startedAt = performance.now();
    const result = await call(peer, path, { timeoutMs: 15_000 });
    const tookMs = performance.now() - startedAt;
    slowestMs = Math.max(slowestMs, tookMs);
    if (result.status !== 0)
      failures.push(`canary ${number} after ${Math.round(tookMs)} ms: ${describeOutcome(result)}`);
  };
  const tick = () => {
    const running = one().finally(() => open.delete(running));
    open.add(running);
  };
  tick();
  const timer = setInterval(tick, intervalMs);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      await peer.close();
      return { calls, failures, slowestMs };
    },
  };
}
