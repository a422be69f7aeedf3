/** `manifold reload` and `manifold restart`: ask the process that runs a configuration, on this machine, by its admin port. */
import { existsSync } from "node:fs";
import process from "node:process";
import { readRuntimeFile } from "./runtime-file.ts";

/** What is to be told the user, and is no fault of ours. */
export class AskError extends Error {
  override readonly name = "AskError";
}

/**
 * @returns the exit code: 1 where the process has found fault with the file, which is told
 * @throws AskError if there is none to ask
 */
export async function ask(what: "reload" | "restart", file = "manifold.yaml"): Promise<number> {
  if (!existsSync(file)) throw new AskError(`${file}: no such file`);
  const info = readRuntimeFile(file);
  const hint = "  it needs an admin port (admin: {}) for this; SIGHUP reloads, SIGUSR2 restarts it without one";
  if (info === undefined) throw new AskError(`no process that runs ${file} is known on this machine\n${hint}`);
  const host = info.address.includes(":") ? `[${info.address}]` : info.address;
  const url = `http://${host.replace(/^(0\.0\.0\.0|\[::\])$/, "127.0.0.1")}:${info.port}/${what}`;
  let response: Response;
  try {
    response = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${info.token}` } });
  } catch (error) {
    throw new AskError(`process ${info.pid} doesn't answer on ${url}: ${causeOf(error)}`);
  }
  return tell(what, response);
}

async function tell(what: string, response: Response): Promise<number> {
  const body = await response.text();
  if (response.status === 422) {
    process.stderr.write(`${(JSON.parse(body) as { report: string }).report}\n\nnot reloaded, nothing has changed\n`);
    return 1;
  }
  if (!response.ok) throw new AskError(body.trim());
  const { changes } = JSON.parse(body) as { changes?: readonly string[] };
  const lines = changes?.length === 0 ? [": nothing has changed"] : (changes ?? []).map((change) => `\n  ${change}`);
  process.stdout.write(`${what}ed${lines.join("")}\n`);
  return 0;
}

/** `fetch` only says that it failed; why is below. */
function causeOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause ?? error;
  return cause instanceof Error ? cause.message : String(cause);
}
