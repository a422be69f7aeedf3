/** Kubernetes: a service's endpoints by its endpoint slices, listed once and then watched. */
import type { Discovery, EndpointListener } from "../upstream/endpoint-source.ts";
import { type EndpointSlice, endpointsOf, type SliceOptions } from "./endpoint-slices.ts";
import { ApiError, type ApiOptions, KubernetesApi } from "./kubernetes-api.ts";

export interface KubernetesOptions extends ApiOptions {
  /** The service's name. */
  readonly service: string;
  /** A port's name, or its number at the pods. Default: the only one. */
  readonly port?: string | number;
  /** Pods speak TLS. Default false. */
  readonly secure?: boolean;
  /** Milliseconds of the first and of the longest rest between tries. Default 0.8 s and 30 s, as client-go. */
  readonly backoffMs?: readonly [first: number, longest: number];
}

/** Objects on one page of a list. */
const pageSize = 500;

/** Seconds after which the server ends a watch: not all clients' at one time. */
const watchSeconds = () => Math.round(240 + Math.random() * 60);

/** Watches a service. The pod's account needs `list` and `watch` of `endpointslices` in `discovery.k8s.io`. */
export function kubernetesEndpoints(options: KubernetesOptions): Discovery {
  const api = new KubernetesApi(options);
  return (listener) => {
    const watcher = new Watcher(api, options, listener);
    void watcher.run();
    return { close: () => watcher.close() };
  };
}

interface Event {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: EndpointSlice & { readonly code?: number; readonly message?: string };
}

interface SliceList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly EndpointSlice[] | null;
}

/** HTTP's Gone: what we know is so old that the server can't tell what has changed since. */
const gone = 410;

class Watcher {
  readonly #api: KubernetesApi;
  readonly #options: KubernetesOptions;
  readonly #port: SliceOptions;
  readonly #listener: EndpointListener;
  readonly #abort = new AbortController();
  readonly #slices = new Map<string, EndpointSlice>();
  /** What has been seen; undefined: the list has to be asked for (again). */
  #version: string | undefined;
  #tries = 0;
  /** The listener has been told of a failure, and of nothing since. */
  #failing = false;

  constructor(api: KubernetesApi, options: KubernetesOptions, listener: EndpointListener) {
    this.#api = api;
    this.#options = options;
    this.#port = { port: options.port, secure: options.secure ?? false };
    this.#listener = listener;
  }

  close(): void {
    this.#abort.abort();
  }

  /** Until it is closed. A watch that ends, as each does after a while, is begun again where it ended. */
  async run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        const expired = error instanceof ApiError && error.status === gone;
        if (expired) this.#version = undefined;
        else this.#fail(error as Error);
        if (!expired || this.#tries > 0) await this.#rest();
        this.#tries++;
      }
    }
  }

  async #list(): Promise<void> {
    const slices: EndpointSlice[] = [];
    let version = "";
    for (let next: string | undefined = ""; next !== undefined; ) {
      const page = (await this.#api.get(
        await this.#path({ limit: pageSize, continue: next }),
        this.#abort.signal,
      )) as SliceList;
      slices.push(...(page.items ?? []));
      version = page.metadata.resourceVersion;
      next = page.metadata.continue || undefined;
    }
    this.#slices.clear();
    for (const slice of slices) this.#slices.set(slice.metadata.name, slice);
    this.#version = version;
    this.#tell();
  }

  async #watch(): Promise<void> {
    const seconds = watchSeconds();
    const query = { watch: 1, allowWatchBookmarks: true, resourceVersion: this.#version!, timeoutSeconds: seconds };
    const maxMs = (seconds + 30) * 1_000;
    let eventful = false;
    for await (const events of this.#api.watch(await this.#path(query), this.#abort.signal, maxMs)) {
      if (this.#abort.signal.aborted) return;
      let changed = false;
      for (const event of events as Event[]) changed = this.#take(event) || changed;
      if (changed || this.#failing) this.#tell();
      eventful = true;
      this.#tries = 0;
    }
    // one that ends at once without a word would be asked for again and again
    if (!eventful) await this.#rest();
  }

  /** @returns whether there is another set of slices now */
  #take({ type, object }: Event): boolean {
    if (type === "ERROR") throw new ApiError(object.code ?? 0, `watch failed: ${object.message ?? object.code}`);
    this.#version = object.metadata.resourceVersion ?? this.#version;
    if (type === "BOOKMARK") return false;
    if (type === "DELETED") this.#slices.delete(object.metadata.name);
    else this.#slices.set(object.metadata.name, object);
    return true;
  }

  #tell(): void {
    try {
      this.#listener.onEndpoints(endpointsOf(this.#slices.values(), this.#port));
      this.#failing = false;
    } catch (error) {
      this.#fail(error as Error); // a port that isn't there: the next change may bring it
    }
  }

  #fail(error: Error): void {
    this.#failing = true;
    this.#listener.onFailed(error);
  }

  async #path(query: Record<string, string | number | boolean>): Promise<string> {
    const search = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${this.#options.service}` });
    for (const [key, value] of Object.entries(query)) if (value !== "") search.set(key, String(value));
    const namespace = encodeURIComponent(await this.#api.namespace());
    return `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${search}`;
  }

  /** Longer after each failure, and never as long as others that failed at the same time. */
  async #rest(): Promise<void> {
    const [first, longest] = this.#options.backoffMs ?? [800, 30_000];
    const ms = Math.min(longest, first * 2 ** this.#tries) * (0.5 + Math.random());
    const { signal } = this.#abort;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, ms);
      function done() {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
    });
  }
}
