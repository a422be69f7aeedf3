import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "../support/program.ts";
import { commandOn, root, runtimesUnderTest } from "../support/runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "manifold-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(runtimesUnderTest())("manifold on %s", (runtime) => {
  const command = commandOn(runtime);
  const argv = "argv" in command ? command.argv : [];
  const manifold = (...args: string[]) =>
    run([...argv, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: "1" } });

  it("tells what it can do and which version it is", async () => {
    const help = await manifold("--help");
    expect(help).toMatchObject({ exit: 0, stderr: "" });
    expect(help.stdout).toContain("manifold check");
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(await manifold("--version")).toEqual({ exit: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("ends with 2 and says what was meant on wrong usage", async () => {
    expect(await manifold("--listn", ":80")).toEqual({
      exit: 2,
      stdout: "",
      stderr: 'manifold: unknown option "--listn"\n  did you mean "--listen"?\n  see manifold --help\n',
    });
    const without = await manifold();
    expect(without).toMatchObject({ exit: 2, stdout: "" });
    expect(without.stderr).toContain("give --to URL or --config FILE");
  });

  it("writes a file to start from, once, which is sound and names a schema that is there", async () => {
    const file = `${runtime}.yaml`;
    expect(await manifold("init", file)).toMatchObject({ exit: 0, stderr: "" });
    const text = readFileSync(join(folder, file), "utf8");
    const schema = /^# yaml-language-server: \$schema=(.*)$/m.exec(text)?.[1] ?? "";
    expect(existsSync(resolve(dirname(join(folder, file)), schema))).toBe(true);
    expect(await manifold("check", "--config", file)).toEqual({
      exit: 0,
      stdout: `${file}: ok (1 listener, 1 upstream, 1 route)\n`,
      stderr: "",
    });
    writeFileSync(join(folder, file), "mine");
    const again = await manifold("init", file);
    expect(again).toEqual({
      exit: 1,
      stdout: "",
      stderr: `manifold: ${file} is there already; it was left as it is\n`,
    });
    expect(readFileSync(join(folder, file), "utf8")).toBe("mine");
  });

  it.each([["check"], ["serve"]])("%s ends with 1 and every problem of a bad file, without a stack", async (name) => {
    writeFileSync(join(folder, "bad.yaml"), "routes:\n  - to: users\n    timeout: 5\nlistner: []\n");
    const result = await manifold(name, "--config", "bad.yaml");
    expect(result).toMatchObject({ exit: 1, stdout: "" });
    expect(result.stderr).toBe(`bad.yaml:2:9: unknown upstream "users"
  2 |   - to: users
    |         ^^^^^ the file has no upstreams

bad.yaml:3:14: expected a duration such as "10s", got 5
  3 |     timeout: 5
    |              ^

bad.yaml:4:1: unknown key "listner"
  4 | listner: []
    | ^^^^^^^ did you mean "listeners"?

3 problems
`);
  });

  it("says that a port is in use, and ends with 1", async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const result = await manifold("--to", "http://127.0.0.1:1", "--listen", address);
    other.close();
    expect(result).toMatchObject({ exit: 1, stdout: "" });
    expect(result.stderr).toBe(`manifold: ${address} is in use already\n`);
  });
});
