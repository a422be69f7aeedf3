import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jsonSchema } from "../../src/config/json-schema.ts";
import { loadConfig } from "../../src/config/load.ts";
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

describe("README.md", () => {
  it("shows examples as they are in examples/", () => {
    const blocks = [...readme.matchAll(/^```(?:yaml|js)\n([\s\S]*?)^```/gm)].map((match) => match[1]);
    expect(blocks.length).toBeGreaterThan(2);
    const files = readdirSync(join(root, "examples")).map((name) => readFileSync(join(root, "examples", name), "utf8"));
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
