import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDemoEndpoint } from "../../src/cli/demo/endpoint.ts";
import { jsonSchema } from "../../src/config/json-schema.ts";
import { loadConfig } from "../../src/config/load.ts";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { start } from "../support/program.ts";
import { commandOn, root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".yaml"));
const readme = readFileSync(join(root, "README.md"), "utf8");

/** The examples in a folder of their own, with the certificates that they name beside them. */
const folder = mkdtempSync(join(tmpdir(), "manifold-examples-"));
beforeAll(() => {
  const authority = new CertificateAuthority("examples");
  const [server, client] = [authority.issue({ commonName: "server" }), authority.issue({ commonName: "client" })];
  const files = { "tls.crt": server.cert, "tls.key": server.key, "client.crt": client.cert, "client.key": client.key };
  for (const [name, text] of Object.entries({ ...files, "ca.crt": authority.cert }))
    writeFileSync(join(folder, name), text);
  for (const name of names) writeFileSync(join(folder, name), readFileSync(join(root, "examples", name)));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(names)("examples/%s", (name) => {
  it("is sound and gives no warning", () => {
    expect(loadConfig(join(folder, name)).warnings).toBe("");
  });

  it("is what the command runs with", async () => {
    const command = commandOn("node");
    if ("absent" in command) throw new Error(command.absent);
    const program = start([...command.argv, "--config", join(folder, name), "--listen", "127.0.0.1:0"]);
    await until("manifold to listen", () => program.stdout().includes("listening on") || program.exit() !== undefined);
    expect([await program.stop(), program.stderr()]).toEqual([0, ""]);
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
    const blocks = [...readme.matchAll(/^```(?:yaml|js)\n([\s\S]*?)^```/gm)].map((match) => match[1]);
    expect(blocks.length).toBeGreaterThan(2);
    const files = readdirSync(join(root, "examples"), { withFileTypes: true })
      .filter((one) => one.isFile())
      .map(({ name }) => readFileSync(join(root, "examples", name), "utf8"));
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
});
