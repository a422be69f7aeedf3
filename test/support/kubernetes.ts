/** A small Kubernetes API server: endpoint slices of one cluster, to be listed and watched, over TLS and for those with a token. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { TlsOptions } from "node:tls";
import { CertificateAuthority } from "./certificates.ts";

type Json = Record<string, unknown>;

export interface KubernetesServer {
  readonly url: string;
  /** PEM of the authority that signed its certificate. */
  readonly ca: string;
  /** The only one that is let in. */
  token: string;
  /** Items on one page of a list. */
  pageSize: number;
  /** Every request that was let in: path and query. */
  readonly requests: string[];
  readonly refused: string[];
  /** Watches open now. */
  readonly watches: number;
  /** Creates or changes a slice, and tells those who watch. */
  apply(slice: Json): void;
  remove(name: string): void;
  /** Tells watchers of a resource version without a change. */
  bookmark(): void;
  /** Changes nobody hears of, and forgets what it could tell of older versions. */
  compact(): void;
  /** Ends watches: in order, or with a reset. */
  endWatches(how: "end" | "reset"): void;
  /** Answers every request with this status; undefined: as usual. */
  failWith: number | undefined;
  close(): Promise<void>;
}

interface Watch {
  readonly response: ServerResponse;
  readonly selector: string;
  readonly namespace: string;
}

/** Starts one on loopback. */
export async function startKubernetes(): Promise<KubernetesServer> {
  const authority = new CertificateAuthority("kubernetes");
  const certificate = authority.issue({ commonName: "kube-apiserver", ips: ["127.0.0.1"] });
  const cluster = new Cluster();
  const server = createServer(certificate as TlsOptions, (request, response) => cluster.answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return Object.assign(cluster, {
    url: `https://127.0.0.1:${port}`,
    ca: authority.cert,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

class Cluster {
  token = "token-1";
  pageSize = 500;
  failWith: number | undefined;
  readonly requests: string[] = [];
  readonly refused: string[] = [];
  #version = 1_000;
  /** Events before this one are forgotten. */
  #oldest = 0;
  readonly #slices = new Map<string, Json>();
  readonly #events: { version: number; type: string; object: Json }[] = [];
  readonly #watches = new Set<Watch>();

  get watches(): number {
    return this.#watches.size;
  }

  apply(slice: Json): void {
    const name = nameOf(slice);
    const type = this.#slices.has(name) ? "MODIFIED" : "ADDED";
    const object = this.#stamped(slice);
    this.#slices.set(name, object);
    this.#emit(type, object);
  }

  remove(name: string): void {
    const slice = this.#slices.get(name);
    if (slice === undefined) throw new Error(`no slice ${name}`);
    this.#slices.delete(name);
    this.#emit("DELETED", this.#stamped(slice));
  }

  bookmark(): void {
    this.#version++;
    const object = {
      kind: "EndpointSlice",
      apiVersion: "discovery.k8s.io/v1",
      metadata: { resourceVersion: String(this.#version), creationTimestamp: null },
      addressType: "",
      endpoints: null,
      ports: null,
    };
    for (const { response } of this.#watches) response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
  }

  compact(): void {
    this.#version += 10;
    this.#oldest = this.#version;
  }

  endWatches(how: "end" | "reset"): void {
    for (const { response } of this.#watches) {
      if (how === "end") response.end();
      else response.destroy();
    }
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "", "https://kubernetes");
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      this.refused.push(String(request.headers.authorization));
      return sendStatus(response, 401, "Unauthorized", "Unauthorized");
    }
    this.requests.push(request.url ?? "");
    if (this.failWith !== undefined) return sendStatus(response, this.failWith, "InternalError", "as the test says");
    const namespace = /^\/apis\/discovery\.k8s\.io\/v1\/namespaces\/([^/]+)\/endpointslices$/.exec(url.pathname)?.[1];
    if (namespace === undefined)
      return sendStatus(response, 404, "NotFound", "the server could not find the requested resource");
    const selector = url.searchParams.get("labelSelector") ?? "";
    if (url.searchParams.get("watch") === "1") this.#watch(url, response, { namespace, selector });
    else this.#list(url, response, { namespace, selector });
  }

  #list(url: URL, response: ServerResponse, query: Pick<Watch, "namespace" | "selector">): void {
    const all = [...this.#slices.values()].filter((slice) => fits(slice, query));
    const from = Number(url.searchParams.get("continue") ?? "0");
    const items = all.slice(from, from + this.pageSize);
    const rest = all.length - from - items.length;
    const metadata = {
      resourceVersion: String(this.#version),
      ...(rest > 0 ? { continue: String(from + items.length), remainingItemCount: rest } : {}),
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ kind: "EndpointSliceList", apiVersion: "discovery.k8s.io/v1", metadata, items }));
  }

  #watch(url: URL, response: ServerResponse, query: Pick<Watch, "namespace" | "selector">): void {
    const from = Number(url.searchParams.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (from < this.#oldest) {
      const message = `too old resource version: ${from} (${this.#oldest})`;
      const object = {
        kind: "Status",
        apiVersion: "v1",
        metadata: {},
        status: "Failure",
        message,
        reason: "Expired",
        code: 410,
      };
      response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
      return;
    }
    const watch = { response, ...query };
    this.#watches.add(watch);
    response.on("close", () => this.#watches.delete(watch));
    for (const { version, type, object } of this.#events) {
      if (version > from && fits(object, query)) response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }

  #stamped(slice: Json): Json {
    this.#version++;
    return { ...slice, metadata: { ...(slice.metadata as Json), resourceVersion: String(this.#version) } };
  }

  #emit(type: string, object: Json): void {
    this.#events.push({ version: this.#version, type, object });
    const line = `${JSON.stringify({ type, object })}\n`;
    for (const watch of this.#watches) {
      if (!fits(object, watch)) continue;
      // in two pieces, as a network may bring it
      watch.response.write(line.slice(0, 40));
      watch.response.write(line.slice(40));
    }
  }
}

function nameOf(slice: Json): string {
  return String((slice.metadata as Json).name);
}

function fits(slice: Json, { namespace, selector }: Pick<Watch, "namespace" | "selector">): boolean {
  const metadata = slice.metadata as { namespace?: string; labels?: Record<string, string> };
  const [key = "", value] = selector.split("=");
  return metadata.namespace === namespace && metadata.labels?.[key] === value;
}

function sendStatus(response: ServerResponse, code: number, reason: string, message: string): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code }),
  );
}

export interface PodShape {
  readonly name?: string;
  readonly address: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly zone?: string;
  readonly port?: number;
}

/** A slice as the endpoint slice controller of Kubernetes 1.29 writes it, all fields included. */
export function endpointSlice(name: string, pods: readonly PodShape[], more: Json = {}): Json {
  const service = name.replace(/-[a-z0-9]{5}$/, "");
  return {
    addressType: "IPv4",
    apiVersion: "discovery.k8s.io/v1",
    endpoints: pods.length === 0 ? null : pods.map((pod) => endpointOf(pod)),
    kind: "EndpointSlice",
    metadata: {
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2024-05-14T09:12:33Z" },
      creationTimestamp: "2024-05-14T09:12:21Z",
      generateName: `${service}-`,
      generation: 4,
      labels: {
        "app.kubernetes.io/name": service,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service,
      },
      managedFields: [
        {
          apiVersion: "discovery.k8s.io/v1",
          fieldsType: "FieldsV1",
          fieldsV1: { "f:addressType": {}, "f:endpoints": {}, "f:ports": {} },
          manager: "kube-controller-manager",
          operation: "Update",
          time: "2024-05-14T09:12:33Z",
        },
      ],
      name,
      namespace: "prod",
      ownerReferences: [
        {
          apiVersion: "v1",
          blockOwnerDeletion: true,
          controller: true,
          kind: "Service",
          name: service,
          uid: "2b8f2b0e-6f0c-4d1a-9b57-3a3b0a2f4d11",
        },
      ],
      resourceVersion: "1",
      uid: "9a4b6a4e-5d0e-4b39-8f0e-1f6d1c0c7a52",
    },
    ports: [
      { name: "grpc", port: pods[0]?.port ?? 50_051, protocol: "TCP" },
      { name: "metrics", port: 9_090, protocol: "TCP" },
    ],
    ...more,
  };
}

function endpointOf({ name, address, ready = true, serving = ready, terminating = false, zone }: PodShape): Json {
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    nodeName: "node-a",
    targetRef: {
      kind: "Pod",
      name: name ?? `pod-${address}`,
      namespace: "prod",
      uid: "c3f1a5b2-6a0d-4f43-b2dc-ffdd0b8be2c9",
    },
    ...(zone === undefined ? {} : { zone }),
  };
}
