/** Probe: asks an endpoint, over one connection, whether it serves. */
import type { Finding } from "../health.ts";

/** What a probe has found out. @param why for the log, where it isn't `serving` */
export type OnFinding = (finding: Finding, why?: string) => void;

export interface Probe {
  /** Asks; `done` is told once, unless the probe is stopped before. */
  ask(done: OnFinding): void;
  /** Tells nothing more. The connection is left as it is. */
  stop(): void;
}

/** Where a probe asks. */
export interface ProbeTarget {
  readonly authority: string;
  readonly secure: boolean;
}
