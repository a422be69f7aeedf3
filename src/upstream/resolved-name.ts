/** Resolved name: what a host's name or a service's stands for, asked for again when the answer is no longer good. */
import type { Answer, Lookup, LookupService, ServiceRecord } from "./discovery.ts";
import { isAddress, type Target } from "./target.ts";

/** One place that a name stands for. */
export interface Found {
  readonly address: string;
  /** What an SRV record says beside that. */
  readonly record?: ServiceRecord;
}

/** Milliseconds for which an answer is good whose time nobody tells. */
const defaultTtlMs = 30_000;

/** At least, whatever the answer says: many connections may fail at once, and each asks. */
const minTtlMs = 1_000;

/** At most: who changes a name shouldn't have to wait for a day. */
const maxTtlMs = 300_000;

/** Milliseconds until the next question when there was no answer. */
const retryMs = 5_000;

export interface NameOptions {
  readonly target: Target;
  readonly lookup: Lookup;
  readonly lookupService: LookupService;
  /** Milliseconds after which those who wait for a first answer wait no longer. The answer still counts when it comes. */
  readonly timeoutMs: number;
  /** What it stands for has changed. */
  onFound(found: readonly Found[]): void;
  /** An answer came, the same as before or not. */
  onAnswer(): void;
  /** It was the same. */
  onSame(): void;
  /** A question failed. What was known before stays in use. */
  onFailed(error: Error): void;
}

/** One name and its last good answer. */
export class ResolvedName {
  readonly #options: NameOptions;
  readonly #ask: () => Promise<{ found: readonly Found[]; ttlMs: number | undefined }>;
  #known: ReadonlySet<string> = new Set();
  #running = false;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #next: ReturnType<typeof setTimeout> | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #active = false;
  #closed = false;

  constructor(options: NameOptions) {
    this.#options = options;
    const { target, lookup, lookupService } = options;
    const service = new Service(target.host, lookup, lookupService);
    this.#ask = target.srv ? () => service.ask() : () => askForHost(target.host, lookup);
  }

  /** A question is running whose answer somebody may wait for. */
  get resolving(): boolean {
    return this.#patience !== undefined;
  }

  /** From now on, until `pause()`, it is asked whenever the answer is out of date. */
  start(): void {
    this.#active = true;
    const age = performance.now() - this.#lastAt;
    if (age >= minTtlMs) this.#run();
    else this.#runIn(minTtlMs - age);
  }

  pause(): void {
    this.#active = false;
    clearTimeout(this.#next);
  }

  /** Asks anew, unless that is being done or was done within the last second. */
  refresh(): void {
    if (performance.now() - this.#lastAt >= minTtlMs) this.#run();
  }

  close(): void {
    this.#closed = true;
    this.pause();
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  #run(): void {
    if (this.#closed || this.#running) return;
    const { target, timeoutMs } = this.#options;
    this.#running = true;
    clearTimeout(this.#next);
    this.#patience = setTimeout(() => {
      this.#patience = undefined;
      this.#options.onFailed(new Error(`no answer for ${target.host} within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#ask().then(
      ({ found, ttlMs = defaultTtlMs }) => {
        if (found.length === 0) this.#answered(undefined, new Error(`${target.host} has no address`), retryMs);
        else this.#answered(found, undefined, Math.min(Math.max(ttlMs, minTtlMs), maxTtlMs));
      },
      (error: Error) => this.#answered(undefined, error, retryMs),
    );
  }

  #answered(found: readonly Found[] | undefined, error: Error | undefined, nextMs: number): void {
    if (this.#closed) return;
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#running = false;
    this.#lastAt = performance.now();
    if (this.#active) this.#runIn(nextMs);
    if (found === undefined) return this.#options.onFailed(error!);
    this.#options.onAnswer();
    const unique = new Map(found.map((one) => [keyOf(one), one]));
    const same = unique.size === this.#known.size && [...unique.keys()].every((key) => this.#known.has(key));
    if (same) return this.#options.onSame(); // resolvers shuffle; the order says nothing
    this.#known = new Set(unique.keys());
    this.#options.onFound([...unique.values()]);
  }

  #runIn(ms: number): void {
    clearTimeout(this.#next);
    this.#next = setTimeout(() => this.#run(), ms);
    (this.#next as { unref?: () => void }).unref?.();
  }
}

/** The same text for the same place. */
export function keyOf({ address, record }: Found): string {
  return record === undefined ? address : `${address} ${record.port} ${record.priority} ${record.weight}`;
}

async function askForHost(host: string, lookup: Lookup) {
  const { addresses, ttlMs } = await askFor(host, lookup);
  return { found: addresses.map((address) => ({ address })), ttlMs };
}

async function askFor(host: string, lookup: Lookup): Promise<Answer> {
  const answer = await lookup(host);
  return "addresses" in answer ? answer : { addresses: answer, ttlMs: undefined };
}

/** SRV records, and the addresses of the hosts that they name. */
class Service {
  readonly #name: string;
  readonly #lookup: Lookup;
  readonly #lookupService: LookupService;
  /** Of hosts: one that fails to resolve keeps its addresses. */
  #last = new Map<string, readonly string[]>();

  constructor(name: string, lookup: Lookup, lookupService: LookupService) {
    this.#name = name;
    this.#lookup = lookup;
    this.#lookupService = lookupService;
  }

  async ask(): Promise<{ found: readonly Found[]; ttlMs: number }> {
    const records = await this.#lookupService(this.#name);
    const hosts = [...new Set(records.map(({ host }) => host))];
    const answers = await Promise.allSettled(hosts.map((host) => this.#addressesOf(host)));
    const known = new Map<string, readonly string[]>();
    let ttlMs = defaultTtlMs; // nobody tells that of SRV records
    answers.forEach((answer, at) => {
      const host = hosts[at]!;
      const addresses = answer.status === "fulfilled" ? answer.value.addresses : this.#last.get(host);
      if (addresses !== undefined) known.set(host, addresses);
      ttlMs = Math.min(ttlMs, answer.status === "fulfilled" ? (answer.value.ttlMs ?? defaultTtlMs) : retryMs);
    });
    const failed = answers.find((answer) => answer.status === "rejected");
    if (known.size === 0 && failed !== undefined) throw failed.reason;
    this.#last = known;
    const found = records.flatMap((record) => (known.get(record.host) ?? []).map((address) => ({ address, record })));
    return { found, ttlMs };
  }

  async #addressesOf(host: string): Promise<Answer> {
    return isAddress(host) ? { addresses: [host], ttlMs: undefined } : await askFor(host, this.#lookup);
  }
}
