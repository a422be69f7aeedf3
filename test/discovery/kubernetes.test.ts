import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KubernetesOptions, kubernetesEndpoints } from "../../src/discovery/kubernetes.ts";
import type { EndpointSource } from "../../src/upstream/endpoint-source.ts";
import { endpointSlice, type KubernetesServer, startKubernetes } from "../support/kubernetes.ts";
import { until } from "../support/until.ts";

let server: KubernetesServer;
let folder: string;
let sources: EndpointSource[];
let sets: string[][];
let failures: string[];

beforeEach(async () => {
  server = await startKubernetes();
  folder = mkdtempSync(join(tmpdir(), "manifold-kubernetes-"));
  writeFileSync(join(folder, "token"), "token-1\n");
  writeFileSync(join(folder, "ca.crt"), server.ca);
  [sources, sets, failures] = [[], [], []];
  server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.1" }, { address: "10.1.0.2" }]));
  server.apply(endpointSlice("orders-aaaaa", [{ address: "10.9.0.1" }]));
});
afterEach(async () => {
  for (const source of sources) source.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

function watch(options: Partial<KubernetesOptions> = {}): void {
  const discovery = kubernetesEndpoints({
    server: server.url,
    token: join(folder, "token"),
    ca: join(folder, "ca.crt"),
    namespace: "prod",
    service: "users",
    port: "grpc",
    backoffMs: [20, 100],
    ...options,
  });
  sources.push(
    discovery({
      onEndpoints: (endpoints) => {
        const urls = endpoints.map((one) => (typeof one === "string" ? one : one.url));
        sets.push(urls.map((url) => url.replace(/^http:\/\/10\.1\.0\.(\d+):50051$/, "$1")));
      },
      onFailed: (error) => failures.push(error.message),
    }),
  );
}

const last = () => sets.at(-1)?.join(" ");
const untilSet = (wanted: string) => until(`the set ${wanted}, not ${last()}`, () => last() === wanted);

describe("kubernetesEndpoints()", () => {
  it("lists the slices of the service, and follows what becomes of them", async () => {
    watch();
    await untilSet("1 2");
    await until("a watch", () => server.watches === 1);
    server.apply(endpointSlice("users-bbbbb", [{ address: "10.1.0.3" }]));
    await untilSet("1 2 3");
    server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.1", ready: false }, { address: "10.1.0.2" }]));
    await untilSet("2 3");
    server.remove("users-aaaaa");
    await untilSet("3");
    server.apply(endpointSlice("users-bbbbb", []));
    await untilSet("");
    expect(failures).toEqual([]);
    expect(server.requests.filter((path) => path.includes("watch=1")).length).toBe(1);
  });

  it("lists page by page", async () => {
    server.pageSize = 1;
    for (const at of [3, 4, 5]) server.apply(endpointSlice(`users-page${at}`, [{ address: `10.1.0.${at}` }]));
    watch();
    await untilSet("1 2 3 4 5");
    expect(sets.length).toBe(1);
    expect(server.requests.filter((path) => path.includes("limit=500")).length).toBe(4);
  });

  it.each(["end", "reset"] as const)("goes on where it was when a watch ends by %s", async (how) => {
    watch();
    await until("a watch", () => server.watches === 1);
    server.bookmark();
    await new Promise((resolve) => setTimeout(resolve, 50)); // a reset would take it along
    server.endWatches(how);
    await until("no watch", () => server.watches === 0);
    server.apply(endpointSlice("users-bbbbb", [{ address: "10.1.0.3" }]));
    await untilSet("1 2 3");
    const lists = server.requests.filter((path) => !path.includes("watch=1"));
    expect(lists.length).toBe(1);
    expect(server.requests.at(-1)).toMatch(/resourceVersion=1003/); // the bookmark's
  });

  it("lists anew when what it knows is too old (410)", async () => {
    watch();
    await until("a watch", () => server.watches === 1);
    server.endWatches("reset");
    server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.9" }]));
    server.compact();
    await untilSet("9");
    await until("another watch", () => server.watches === 1);
    server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.8" }]));
    await untilSet("8");
  });

  it("keeps quiet about endpoints while the API fails, tries again and again, and says when it works", async () => {
    watch();
    await until("a watch", () => server.watches === 1);
    server.failWith = 503;
    server.endWatches("reset");
    await until("three failures", () => failures.length >= 3);
    expect(failures).toContain("HTTP 503: as the test says");
    expect(sets.length).toBe(1);
    server.failWith = undefined;
    server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.7" }]));
    await untilSet("7");
  });

  it("reads the token for each request, for it is exchanged", async () => {
    watch();
    await until("a watch", () => server.watches === 1);
    server.token = "token-2";
    server.endWatches("end");
    await until("a refusal", () => server.refused.length > 0);
    writeFileSync(join(folder, "token"), "token-2");
    await until("another watch", () => server.watches === 1);
    expect(failures.some((message) => message.startsWith("HTTP 401"))).toBe(true);
  });

  it("trusts no server that its authority hasn't signed", async () => {
    writeFileSync(join(folder, "ca.crt"), (await startedAndClosed()).ca);
    watch();
    await until("a failure", () => failures.length > 0);
    expect(server.requests).toEqual([]);
    expect(server.refused).toEqual([]); // it has shown nobody its token
  });

  it("fails where there is no such port, and not for good", async () => {
    watch({ port: "http" });
    await until("a failure", () => failures.length > 0);
    expect(failures[0]).toContain("no port http in endpoint slice users-aaaaa");
    await until("a watch", () => server.watches === 1);
    const ports = [{ name: "http", port: 50_051, protocol: "TCP" }];
    server.apply(endpointSlice("users-aaaaa", [{ address: "10.1.0.4" }], { ports }));
    await untilSet("4");
  });

  it("ends its watch when it is closed", async () => {
    watch();
    await until("a watch", () => server.watches === 1);
    sources[0]?.close();
    await until("no watch", () => server.watches === 0);
    server.apply(endpointSlice("users-bbbbb", [{ address: "10.1.0.3" }]));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([sets.length, failures]).toEqual([1, []]);
  });

  it("says what is missing outside of a pod", async () => {
    const discovery = kubernetesEndpoints({ service: "users", namespace: "prod" });
    sources.push(discovery({ onEndpoints() {}, onFailed: (error) => failures.push(error.message) }));
    await until("a failure", () => failures.length > 0);
    expect(failures[0]).toContain("KUBERNETES_SERVICE_HOST isn't set");
  });
});

async function startedAndClosed(): Promise<KubernetesServer> {
  const other = await startKubernetes();
  await other.close();
  return other;
}
