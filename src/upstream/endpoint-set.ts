/** Endpoint set: the endpoints of an upstream as they are now: those written down, those of names, and those that a source tells of. */
import type { Log } from "../observe/log.ts";
import type { Lookup, LookupService } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Discovery, EndpointSource } from "./endpoint-source.ts";
import { type Found, keyOf, ResolvedName } from "./resolved-name.ts";
import { domainOf, type EndpointOptions, hostPort, parseTarget, type Target } from "./target.ts";

/** Milliseconds without a call after which names aren't asked for any more. */
const idleMs = 30_000;

export interface EndpointSetOptions {
  readonly upstream: string;
  readonly targets: readonly Target[];
  /** Tells of more targets. Default: nobody does. */
  readonly discovery?: Discovery | undefined;
  /** Makes the endpoint for some addresses of a target: one, or those of "localhost", which are tried in turn. */
  readonly create: (target: Target, addresses: readonly string[]) => Endpoint;
  readonly lookup: Lookup;
  readonly lookupService: LookupService;
  /** Milliseconds that a call waits for a first answer. */
  readonly timeoutMs: number;
  readonly log: Log | undefined;
  /** `endpoints` or `resolving` has changed. */
  onChange(): void;
}

/** One target: an address, or a name and what it stands for now. */
interface Member {
  readonly target: Target;
  readonly name: ResolvedName | undefined;
  /** The last question failed. */
  failing: boolean;
  endpoints: readonly (readonly [key: string, endpoint: Endpoint])[];
}

export class EndpointSet {
  readonly #options: EndpointSetOptions;
  /** By all that is said of the target. */
  #members: ReadonlyMap<string, Member> = new Map();
  #endpoints: readonly Endpoint[] = [];
  #error: Error | undefined;
  #source: EndpointSource | undefined;
  /** Runs until the source has told something, or has had its time. */
  #patience: ReturnType<typeof setTimeout> | undefined;
  #sourceFailed = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #watching = false;
  #used = false;
  #closed = false;

  constructor(options: EndpointSetOptions) {
    this.#options = options;
    this.#members = new Map(options.targets.map((target) => [JSON.stringify(target), this.#member(target)]));
    this.#gather();
  }

  /** In the order of the configuration, or of the source. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** An answer is on its way that a call may wait for. */
  get resolving(): boolean {
    return this.#patience !== undefined || [...this.#members.values()].some(({ name }) => name?.resolving === true);
  }

  /** Why there may be no endpoints. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** There are names or a source, and nobody asks at the moment: `watch()` is due. */
  get dormant(): boolean {
    return !this.#closed && !this.#watching && (this.#options.discovery !== undefined || this.#names().length > 0);
  }

  /** A call came: names are asked for as long as some do. */
  markUsed(): void {
    this.#used = true;
  }

  /** Asks for all names now, and whenever answers are out of date until a while goes by without a call. Starts the source. */
  watch(): void {
    if (!this.dormant) return;
    this.#watching = true;
    this.#timer = setInterval(() => this.#tick(), idleMs);
    this.#timer.unref();
    for (const name of this.#names()) name.start();
    this.#startSource();
  }

  /** Asks for all names now. */
  refresh(): void {
    for (const name of this.#names()) name.refresh();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#patience);
    this.#source?.close();
    for (const name of this.#names()) name.close();
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #names(): ResolvedName[] {
    return [...this.#members.values()].flatMap(({ name }) => name ?? []);
  }

  #tick(): void {
    if (this.#used) {
      this.#used = false;
      return;
    }
    clearInterval(this.#timer);
    this.#watching = false;
    for (const name of this.#names()) name.pause();
    this.#options.onChange();
  }

  /** Once: it goes on when names are asked for no more. */
  #startSource(): void {
    const { discovery, timeoutMs } = this.#options;
    if (discovery === undefined || this.#source !== undefined) return;
    this.#patience = setTimeout(() => this.#sourceTold(new Error(`no endpoints within ${timeoutMs} ms`)), timeoutMs);
    this.#source = discovery({
      onEndpoints: (endpoints) => this.#discovered(endpoints),
      onFailed: (error) => this.#sourceTold(error),
    });
  }

  #discovered(endpoints: readonly EndpointOptions[]): void {
    const targets = endpoints.map(parseTarget);
    if (this.#closed) return;
    this.#update(targets);
    this.#sourceTold(undefined);
  }

  #sourceTold(error: Error | undefined): void {
    if (this.#closed) return;
    const { log, upstream } = this.#options;
    const waited = this.#patience !== undefined;
    clearTimeout(this.#patience);
    this.#patience = undefined;
    if (error !== undefined) {
      const kept = this.#endpoints.length;
      const fields = { upstream, endpoints: kept, error: error.message };
      if (!this.#sourceFailed) log?.warn(fields, kept > 0 ? "discovery failed: endpoints stay" : "discovery failed");
      else log?.debug(fields, "discovery still fails");
    } else if (this.#sourceFailed) log?.info({ upstream, endpoints: this.#endpoints.length }, "discovery works again");
    this.#error = error;
    this.#sourceFailed = error !== undefined;
    if (waited) this.#options.onChange();
  }

  /** Targets that are the same keep their endpoints, and endpoints their connections. */
  #update(targets: readonly Target[]): void {
    const gone = new Map(this.#members);
    const members = new Map<string, Member>();
    const created: Member[] = [];
    for (const target of targets) {
      const key = JSON.stringify(target);
      const known = gone.get(key);
      gone.delete(key);
      if (known === undefined && !members.has(key)) created.push(this.#member(target));
      const member = known ?? members.get(key) ?? created.at(-1)!;
      members.set(key, member);
    }
    this.#members = members;
    if (this.#options.discovery !== undefined && (created.length > 0 || gone.size > 0)) {
      const fields = { upstream: this.#options.upstream, added: created.length, removed: gone.size };
      this.#options.log?.debug(fields, "endpoints discovered");
    }
    this.#changed([...gone.values()].flatMap(({ endpoints }) => endpoints.map(([, endpoint]) => endpoint)));
    for (const { name } of gone.values()) name?.close();
    if (this.#watching) for (const { name } of created) name?.start();
  }

  #member(target: Target): Member {
    const { create, lookup, lookupService, timeoutMs } = this.#options;
    if (target.addresses !== undefined) {
      return { target, name: undefined, failing: false, endpoints: [[target.host, create(target, target.addresses)]] };
    }
    const name = new ResolvedName({
      target,
      lookup,
      lookupService,
      timeoutMs,
      onFound: (found) => this.#resolved(member, found),
      onAnswer: () => this.#answered(member),
      onSame: () => this.#options.onChange(), // nobody need wait for it any more
      onFailed: (error) => this.#failed(member, error),
    });
    const member: Member = { target, name, failing: false, endpoints: [] };
    return member;
  }

  /** Endpoints whose address stays keep their connections; the others finish the streams they have. */
  #resolved(member: Member, found: readonly Found[]): void {
    const { create, log, upstream } = this.#options;
    const { target } = member;
    log?.debug({ upstream, host: target.host, addresses: found.map(({ address }) => address) }, "name resolved");
    const known = new Map(member.endpoints);
    member.endpoints = found.map((one) => {
      const key = keyOf(one);
      const endpoint = known.get(key) ?? create(targetOf(target, one), [one.address]);
      known.delete(key);
      return [key, endpoint];
    });
    this.#error = undefined;
    this.#changed([...known.values()]);
  }

  #answered(member: Member): void {
    const { log, upstream } = this.#options;
    if (member.failing) log?.info({ upstream, host: member.target.host }, "name resolves again");
    member.failing = false;
  }

  #failed(member: Member, error: Error): void {
    const { log, upstream } = this.#options;
    const fields = { upstream, host: member.target.host, error: error.message, kept: member.endpoints.length };
    if (member.failing) log?.debug(fields, "name still can't be resolved");
    else log?.warn(fields, "name can't be resolved");
    member.failing = true;
    this.#error = error;
    this.#options.onChange();
  }

  #gather(): void {
    const before = this.#endpoints;
    const members = [...this.#members.values()];
    this.#endpoints = members.flatMap(({ endpoints }) => endpoints.map(([, endpoint]) => endpoint));
    this.#keepDisabled(before);
  }

  /** What takes the place of an endpoint that was disabled by hand, with another address or other labels, is so, too. */
  #keepDisabled(before: readonly Endpoint[]): void {
    const disabled = new Set(before.filter(({ enabled }) => !enabled).map(({ name }) => name));
    if (disabled.size === 0) return;
    for (const { enabled, name } of before) if (enabled) disabled.delete(name); // one address of several was meant
    for (const endpoint of this.#endpoints) {
      if (!before.includes(endpoint) && disabled.has(endpoint.name)) endpoint.enabled = false;
    }
  }

  #changed(gone: readonly Endpoint[]): void {
    this.#gather();
    this.#options.onChange();
    // Only now, so that the calls which wait there find the new ones.
    for (const endpoint of gone) endpoint.close();
  }
}

/** What SRV records say counts in place of what is written beside their name; a weight of 0 would mean no calls at all. */
function targetOf(target: Target, { record }: Found): Target {
  if (record === undefined) return target;
  return {
    ...target,
    name: hostPort(record.host, record.port),
    host: domainOf(target.host),
    port: record.port,
    priority: record.priority,
    weight: Math.max(record.weight, 1),
  };
}
