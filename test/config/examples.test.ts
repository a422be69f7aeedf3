import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDemoEndpoint } from "../../src/cli/demo/endpoint.ts";
import { jsonSchema } from "../../src/config/json-schema.ts";
import { listenerLimits } from "../../src/config/limits.ts";
import { loadConfig } from "../../src/config/load.ts";
import { DemoService, file_manifold_demo_v1_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { run, start } from "../support/program.ts";
import { commandOn, root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".yaml"));
const readme = readFileSync(join(root, "README.md"), "utf8");

/** The examples in a folder of their own, with the certificates and the image that they name beside them. */
const folder = mkdtempSync(join(tmpdir(), "manifold-examples-"));
beforeAll(() => {
  const authority = new CertificateAuthority("examples");
  const [server, client] = [authority.issue({ commonName: "server" }), authority.issue({ commonName: "client" })];
  const files = { "tls.crt": server.cert, "tls.key": server.key, "client.crt": client.cert, "client.key": client.key };
  for (const [name, text] of Object.entries({
    ...files,
    "ca.crt": authority.cert,
    "users-endpoints.yaml": "[http://a:1]",
  }))
    writeFileSync(join(folder, name), text);
  for (const name of [...names, "services.js"]) copyFileSync(join(root, "examples", name), join(folder, name));
  const image = create(FileDescriptorSetSchema, { file: [file_manifold_demo_v1_demo.proto] });
  writeFileSync(join(folder, "api.binpb"), toBinary(FileDescriptorSetSchema, image));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(names)("examples/%s", (name) => {
  it("is sound and gives no warning", async () => {
    expect((await loadConfig(join(folder, name))).warnings).toBe("");
  });

  it("is what the command runs with", async () => {
    const command = commandOn("node");
    if ("absent" in command) throw new Error(command.absent);
    const program = start([...command.argv, "--config", join(folder, name), "--listen", "127.0.0.1:0"]);
    await until("manifold to listen", () => program.stdout().includes("listening on") || program.exit() !== undefined);
    expect([await program.stop(), program.stderr()]).toEqual([0, ""]);
  });
});

describe("examples/module.yaml", () => {
  it("serves the service of its module in each protocol", async () => {
    const command = commandOn("node");
    if ("absent" in command) throw new Error(command.absent);
    const program = start([...command.argv, "--config", join(folder, "module.yaml"), "--listen", "127.0.0.1:0"]);
    const baseUrl = await until("manifold to listen", () => /listening on (http:[^"\s]*)/.exec(program.stdout())?.[1]);
    for (const contentType of ["application/json", "application/grpc-web+json"]) {
      const response = await fetch(`${baseUrl}/acme.clock.v1.Clock/Now`, {
        method: "POST",
        headers: { "content-type": contentType },
        body: contentType === "application/json" ? "{}" : "\0\0\0\0\x02{}",
      });
      expect(response.headers.get("content-type")).toBe(contentType);
      expect(await response.text()).toMatch(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/);
    }
    expect(await program.stop()).toBe(0);
  });
});

describe("examples/transport.js", () => {
  it("calls the service of its own process", async () => {
    const result = await run([process.execPath, join(root, "examples/transport.js")]);
    expect(result).toEqual({ exit: 0, stderr: "", stdout: expect.stringMatching(/^it is 20.*Z\n$/) });
  });
});

describe("examples/library.js", () => {
  it("is a proxy whose director refuses and forwards", async () => {
    const endpoint = await startDemoEndpoint("one");
    const program = start([process.execPath, join(root, "examples/library.js"), "127.0.0.1:0", endpoint.url]);
    const listening = () => /listening on (127\.0\.0\.1:\d+)/.exec(program.stdout())?.[1];
    const baseUrl = `http://${await until("the example to listen", listening)}`;
    const sessionManager = new Http2SessionManager(baseUrl);
    const transport = createGrpcTransport({ baseUrl, sessionManager });
    const { greet } = DemoService.method;
    const reply = await createClient(DemoService, transport).greet({});
    expect(reply.endpoint).toBe("one");
    const internal = { ...greet, parent: { ...DemoService, typeName: "internal.Service" } };
    await expect(transport.unary(internal, undefined, undefined, undefined, {})).rejects.toMatchObject({
      code: Code.Unimplemented,
    });
    await until("both calls", () => program.stdout().includes("/internal.Service/Greet 12"));
    expect(program.stdout()).toContain("/manifold.demo.v1.DemoService/Greet 0 127.0.0.1:");
    sessionManager.abort();
    await endpoint.close();
    expect(await program.stop()).toBe(0);
  });
});

describe("README.md", () => {
  it("shows examples as they are in examples/", () => {
    const blocks = [...readme.matchAll(/^```(?:yaml|js|ts)\n([\s\S]*?)^```/gm)].map((match) => match[1]);
    expect(blocks.length).toBeGreaterThan(2);
    const files = readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(yaml|js|ts)$/.test(name))
      .map((name) => readFileSync(join(root, "examples", name), "utf8"));
    for (const block of blocks) expect(files).toContain(block);
  });

  it("names every key of the configuration", () => {
    const keys = new Set<string>();
    const visit = (schema: object) => {
      for (const [key, value] of Object.entries(schema)) {
        if (key === "properties") for (const name of Object.keys(value)) keys.add(name);
        if (typeof value === "object" && value !== null) visit(value);
      }
    };
    visit(jsonSchema());
    expect([...keys].filter((key) => !readme.includes(`\`${key}\``))).toEqual([]);
  });

  it("gives the default of every limit as it is", () => {
    const { http1, connections, max_request_message, max_response_message, ...limits } = listenerLimits.shape;
    for (const { description } of [connections, max_request_message]) expect(description).toMatch(/Default: any/);
    const keys = Object.entries({ ...limits, ...http1.unwrap().shape });
    expect(keys.length).toBeGreaterThan(25);
    for (const [key, { description }] of keys) {
      const fallback = /Default (\S+)\.$/.exec(description ?? "")?.[1];
      expect(readme, key).toMatch(new RegExp(`\\| (– )?\`${key}\`( \\*)? \\| ${fallback} \\|`));
    }
  });
});
