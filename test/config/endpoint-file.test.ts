import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endpointFile, parseEndpoints } from "../../src/config/endpoint-file.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";
import type { EndpointSource } from "../../src/upstream/endpoint-source.ts";
import type { EndpointOptions } from "../../src/upstream/target.ts";
import { until } from "../support/until.ts";

const rules = { secure: false, who: 'upstream "users"' };

function report(text: string, secure = false): string {
  try {
    parseEndpoints("endpoints.yaml", text, { ...rules, secure });
  } catch (error) {
    if (error instanceof ConfigError) return `\n${error.message}\n`;
    throw error;
  }
  throw new Error("the file was taken");
}

describe("parseEndpoints()", () => {
  it("reads a list as the configuration has it", () => {
    const text = "- http://10.0.0.1:1\n- { url: http://10.0.0.2:1, name: two } # the second\n";
    const expected = ["http://10.0.0.1:1", { url: "http://10.0.0.2:1", name: "two" }];
    expect(parseEndpoints("endpoints.yaml", text, rules)).toEqual(expected);
    expect(parseEndpoints("endpoints.yaml", "[]", rules)).toEqual([]);
  });

  it("shows every problem in its place", () => {
    expect(report("- http://10.0.0.1:1\n- 10.0.0.2:1\n- { ulr: http://a }\n- 5\n")).toMatchInlineSnapshot(`
      "
      endpoints.yaml:2:3: not a URL: "10.0.0.2:1"
        2 | - 10.0.0.2:1
          |   ^^^^^^^^^^ did you mean "http://10.0.0.2:1"?

      endpoints.yaml:3:5: unknown key "ulr"
        3 | - { ulr: http://a }
          |     ^^^ did you mean "url"?

      endpoints.yaml:4:3: expected a URL, or a map with url, got 5
        4 | - 5
          |   ^
      "
    `);
    expect(report("- { url: http://a:1, name: x }\n- { url: http://b:1, name: x }\n", true)).toMatchInlineSnapshot(`
      "
      endpoints.yaml:1:10: upstream "users" has tls, but this endpoint is cleartext
        1 | - { url: http://a:1, name: x }
          |          ^^^^^^^^^^ did you mean "https://a:1"?

      endpoints.yaml:2:10: upstream "users" has tls, but this endpoint is cleartext
        2 | - { url: http://b:1, name: x }
          |          ^^^^^^^^^^ did you mean "https://b:1"?

      endpoints.yaml:2:28: endpoint "x" is given twice
        2 | - { url: http://b:1, name: x }
          |                            ^ each needs a name of its own
      "
    `);
    expect(report("")).toContain("the file is empty: no endpoints are []");
    expect(report("- http://10.0.0.1:1\n- {")).toContain("endpoints.yaml:2:");
    expect(report("endpoints: []")).toContain("expected a list, got a map");
  });
});

describe("endpointFile()", () => {
  let folder: string;
  let file: string;
  let source: EndpointSource | undefined;
  let sets: string[];
  let failures: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "manifold-endpoints-"));
    file = join(folder, "endpoints.yaml");
    [sets, failures] = [[], []];
  });
  afterEach(() => {
    source?.close();
    rmSync(folder, { recursive: true });
  });

  function start(): void {
    const discovery = endpointFile(file, { name: "endpoints.yaml", rules, intervalMs: 30, optionsOf });
    source = discovery({
      onEndpoints: (endpoints) => sets.push(endpoints.join(" ")),
      onFailed: (error) => failures.push(error.message),
    });
  }
  const optionsOf = (endpoint: string | { url: string }): EndpointOptions =>
    typeof endpoint === "string" ? endpoint : endpoint.url;
  const untilSet = (wanted: string) => until(`${wanted}, not ${sets.at(-1)}`, () => sets.at(-1) === wanted);

  it("tells of the file, and of each change: written in place, or put in its place", async () => {
    writeFileSync(file, "[http://a:1]");
    start();
    await untilSet("http://a:1");
    writeFileSync(file, "[http://a:1, http://b:1]");
    await untilSet("http://a:1 http://b:1");
    writeFileSync(`${file}.new`, "[http://c:1]");
    renameSync(`${file}.new`, file);
    await untilSet("http://c:1");
    expect([sets.length, failures]).toEqual([3, []]);
  });

  it("follows links that are exchanged above it, as Kubernetes does with a ConfigMap", async () => {
    for (const [version, text] of [
      ["v1", "[http://a:1]"],
      ["v2", "[http://b:1]"],
    ] as const) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, "endpoints.yaml"), text);
    }
    symlinkSync("v1", join(folder, "..data"));
    symlinkSync("..data/endpoints.yaml", file);
    start();
    await untilSet("http://a:1");
    symlinkSync("v2", join(folder, "..new"));
    renameSync(join(folder, "..new"), join(folder, "..data"));
    await untilSet("http://b:1");
  });

  it("tells of a broken file with its frame, and of its end, and goes on when it is whole again", async () => {
    writeFileSync(file, "[http://a:1]");
    start();
    await untilSet("http://a:1");
    writeFileSync(file, "- http://a:1\n- nonsense");
    await until("a failure", () => failures.length === 1);
    expect(failures[0]).toBe(
      'endpoints.yaml:2:3: not a URL: "nonsense"\n  2 | - nonsense\n    |   ^^^^^^^^ did you mean "http://nonsense"?',
    );
    unlinkSync(file);
    await until("another failure", () => failures.length === 2);
    expect(failures[1]).toBe("endpoints.yaml: no such file");
    writeFileSync(file, "[http://b:1]");
    await untilSet("http://b:1");
    expect(sets.length).toBe(2);
  });

  it("is read with the configuration, whose report names its fault", async () => {
    const config = join(folder, "manifold.yaml");
    writeFileSync(config, "upstreams: { users: { endpoints: { file: endpoints.yaml } } }\nroutes: [{ to: users }]\n");
    await expect(loadConfig(config)).rejects.toThrow("no such file: endpoints.yaml");
    writeFileSync(file, "- nonsense");
    await expect(loadConfig(config)).rejects.toThrow('endpoints.yaml:1:3: not a URL: "nonsense"');
    writeFileSync(file, "[http://a:1]");
    expect((await loadConfig(config)).warnings).toBe("");
  });
});

describe("endpoints of a configuration", () => {
  async function problems(upstream: string): Promise<string> {
    const text = `upstreams: { users: ${upstream} }\nroutes: [{ to: users }]\n`;
    return loadConfig("manifold.yaml", () => Buffer.from(text)).then(
      () => "",
      (error: Error) =>
        error.message
          .split("\n")
          .filter((line) => line.startsWith("manifold"))
          .join("\n"),
    );
  }

  it.each([
    ["{ endpoints: {} }", "give file or kubernetes"],
    ["{ endpoints: { file: a, kubernetes: { service: b } } }", "either file or kubernetes, not both"],
    ["{ endpoints: { kubernetes: {} } }", 'missing key "service"'],
    ["{ endpoints: { kubernetes: { service: Users } } }", 'not a name that Kubernetes takes: "Users"'],
    ["{ endpoints: { kubernetes: { service: a, port: 0 } } }", "must be at least 1"],
    ["{ endpoints: { kubernetes: { service: a, server: a.example } } }", 'not the URL of an API server: "a.example"'],
    ["{ endpoints: { kubernets: { service: a } } }", 'unknown key "kubernets"'],
    ["{ endpoints: 5 }", "expected a list of endpoints, or a map with file or kubernetes, got 5"],
    ["{ endpoints: [] }", "must not be empty"],
    ["{ endpoints: [dns+srv://a.example:1] }", "SRV records say the port themselves"],
    ["{ endpoints: [http://a], dns: { servers: [dns.example] } }", 'not the address of a DNS server: "dns.example"'],
    ["{ endpoints: [http://a], dns: { servers: [10.0.0.1:99999] } }", "not the address of a DNS server"],
    ["{ endpoints: [dns+srv://_grpc._tcp.a.example], tls: {} }", "has tls, but this endpoint is cleartext"],
  ])("in %s: %s", async (upstream, message) => {
    expect(await problems(upstream)).toContain(message);
  });

  it.each([
    "{ endpoints: [dns+srv://_grpc._tcp.a.example, http://a], dns: { servers: [10.0.0.53, '[fd00::53]:5353', 'fd00::53'] } }",
    "{ endpoints: [dns+srv+tls://_grpc._tcp.a.example], tls: {} }",
    "{ endpoints: { kubernetes: { service: users, namespace: prod, port: grpc, server: 'https://10.0.0.1:6443', ca: ca.crt } } }",
  ])("takes %s", async (upstream) => {
    expect(await problems(upstream)).toBe("");
  });
});
