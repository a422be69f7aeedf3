/** Starts the built command on a runtime, as a user would, and finds out where it listens. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSockets, residentBytes, start } from "./program.js";
import { commandOn, root } from "./runtimes.js";
import { until } from "./until.js";
/** @throws Error with its output when it ends, or does not say where it listens within 30 s */
export async function startManifold({ runtime, to, config, files, args = [] }) {
    const command = commandOn(runtime);
    if ("absent" in command)
        throw new Error(command.absent);
    const folder = mkdtempSync(join(tmpdir(), "manifold-test-"));
    for (const [name, content] of Object.entries(files ?? {}))
        writeFileSync(join(folder, name), content);
    const argv = [...command.argv, "--access-log", "off", ...args];
    if (config) {
        writeFileSync(join(folder, "manifold.yaml"), JSON.stringify(config, undefined, 2));
        argv.push("--config", join(folder, "manifold.yaml"));
    }
    else
        argv.push("--listen", "127.0.0.1:0");
    for (const url of to ?? [])
        argv.push("--to", url);
    const program = start(argv, { cwd: root });
    const expected = config?.listeners?.length ?? 1;
    const ports = () => [...program.stdout().matchAll(/https?:\/\/[^\s:]+:(\d+)/g)].map((match) => Number(match[1]));
    await until("manifold to listen", () => program.exit() !== undefined || ports().length >= expected, 30_000).catch(() => program.stop("SIGKILL"));
    if (program.exit() !== undefined) {
        rmSync(folder, { recursive: true, force: true });
        throw new Error(`manifold on ${runtime} ended: ${program.exit()}\n${program.stdout()}${program.stderr()}`);
    }
    return {
        port: ports()[0],
        ports: ports().slice(0, expected),
        pid: program.pid,
        program,
        rss: () => residentBytes(program.pid),
        sockets: () => openSockets(program.pid),
        async stop(graceMs) {
            const exit = await program.stop("SIGTERM", graceMs);
            rmSync(folder, { recursive: true, force: true });
            return exit;
        },
    };
}
