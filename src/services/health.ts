/** Health: grpc.health.v1 of the proxy itself, for those who send it calls. Not of its upstreams. */
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";

/** Services that List tells of; with more it refuses (its own document). */
const maxListed = 100;

/** What the service knows. It outlives the routes it is registered with, so that who watches hears of every change. */
export class HealthState {
  #services: ReadonlySet<string> = new Set([""]);
  #draining = false;
  #left = false;
  readonly #waiting = new Set<() => void>();

  /** Services of this process, by their full names, beside "", which is the server as a whole. */
  know(services: Iterable<string>): void {
    this.#services = new Set(["", ...services]);
    this.#tell();
  }

  /** The server takes no more calls soon: nothing is served any more. */
  drain(): void {
    this.#draining = true;
    this.#tell();
  }

  /** Another process takes this one's place: who watches has to ask there. */
  leave(): void {
    this.#left = true;
    this.#tell();
  }

  /** No watch goes on. */
  get over(): boolean {
    return this.#draining || this.#left;
  }

  /** Undefined for a service that isn't known. */
  status(service: string): Status | undefined {
    if (!this.#services.has(service)) return undefined;
    return this.#draining ? Status.NOT_SERVING : Status.SERVING;
  }

  get services(): readonly string[] {
    return [...this.#services];
  }

  /** Resolves when something may have changed; rejects with the signal's reason. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = () => {
        this.#waiting.delete(onChange);
        signal.removeEventListener("abort", onAbort);
      };
      const onChange = () => {
        forget();
        resolve();
      };
      const onAbort = () => {
        forget();
        reject(signal.reason);
      };
      if (signal.aborted) return reject(signal.reason);
      this.#waiting.add(onChange);
      signal.addEventListener("abort", onAbort);
    });
  }

  #tell(): void {
    for (const onChange of [...this.#waiting]) onChange();
  }
}

/** Adds the service to a router: for gRPC, gRPC-Web and Connect, as all local services. */
export function addHealth(router: ConnectRouter, state: HealthState): void {
  router.service(Health, {
    check({ service }) {
      const status = state.status(service);
      if (status === undefined) throw new ConnectError(`unknown service "${service}"`, Code.NotFound);
      return { status };
    },
    list() {
      const { services } = state;
      if (services.length > maxListed) throw new ConnectError("too many services to list", Code.ResourceExhausted);
      return { statuses: Object.fromEntries(services.map((one) => [one, { status: state.status(one)! }])) };
    },
    /** Ends when the server drains: an open stream would only hold that up. */
    async *watch({ service }, { signal }) {
      let told: Status | undefined;
      for (;;) {
        const status = state.status(service) ?? Status.SERVICE_UNKNOWN;
        if (status !== told) yield { status };
        told = status;
        if (state.over) throw new ConnectError("server is shutting down", Code.Unavailable);
        await state.changed(signal);
      }
    },
  });
}
