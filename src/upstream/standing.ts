/** Standing: whether an endpoint should get calls, as far as that is known of the endpoint itself: healthy, enabled, not ejected. */
import type { Log } from "../observe/log.ts";
import { Outlier, type OutlierSettings } from "./outlier.ts";

export interface StandingOptions {
  /** Undefined: no number of failures ejects it. */
  readonly outlier: OutlierSettings | undefined;
  /** Its health is checked, and not known yet. */
  readonly checked: boolean;
  readonly log: Log | undefined;
  /** What every line of the log says. */
  readonly labels: object;
  /** Not too many others are ejected. */
  mayEject(): boolean;
  /** It has been ejected. */
  onEjected(): void;
  /** `ready` may have changed. */
  onChange(): void;
}

export class Standing {
  readonly #options: StandingOptions;
  readonly #outlier: Outlier | undefined;
  #enabled = true;
  #healthy: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StandingOptions) {
    this.#options = options;
    this.#outlier = options.outlier && new Outlier(options.outlier);
    this.#healthy = !options.checked;
  }

  get ready(): boolean {
    return this.#healthy && this.#enabled && !this.ejected;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(enabled: boolean) {
    if (this.#enabled === enabled) return;
    this.#enabled = enabled;
    this.#options.log?.info(this.#options.labels, enabled ? "endpoint enabled" : "endpoint disabled");
    this.#options.onChange();
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  set healthy(healthy: boolean) {
    if (this.#healthy === healthy) return;
    this.#healthy = healthy;
    this.#options.onChange();
  }

  get ejected(): boolean {
    return this.#outlier?.ejected === true;
  }

  succeed(): void {
    this.#outlier?.succeed();
  }

  fail(): void {
    const { log, labels, mayEject, onEjected, onChange } = this.#options;
    if (this.#outlier?.fail() !== true || !mayEject()) return;
    const forMs = this.#outlier.eject(performance.now());
    this.#timer = setTimeout(() => this.#restore(), forMs);
    this.#timer.unref();
    log?.warn({ ...labels, for_ms: forMs }, "endpoint ejected: too many failures in a row");
    onEjected();
    onChange();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #restore(): void {
    this.#outlier?.restore(performance.now());
    this.#options.log?.info(this.#options.labels, "endpoint is no longer ejected");
    this.#options.onChange();
  }
}
