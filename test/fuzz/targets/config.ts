/** Fuzz: the configuration file: any text is taken, and can then be built, or is reported with places that are in it, within 2 s. */
import assert from "node:assert/strict";
import { build } from "../../../src/config/build.ts";
import { parseEndpoints } from "../../../src/config/endpoint-file.ts";
import { type Loaded, loadConfig } from "../../../src/config/load.ts";
import { ConfigError } from "../../../src/config/problem.ts";
import { createLog } from "../../../src/observe/log.ts";
import type { Next } from "../mutate.ts";

/** What values may become. */
const values = [
  "",
  "[]",
  "{}",
  "null",
  "0",
  "-1",
  "1e9",
  "1.5",
  "true",
  "off",
  "10s",
  "'*'",
  "a",
  "&a",
  "*a",
  "http://h:1",
  "[a, a]",
];

const log = createLog({ write() {}, level: "silent" });
const name = "/nowhere/manifold.yaml";
const longestMs = 2_000;

export async function fuzz(data: Uint8Array): Promise<void> {
  const text = new TextDecoder().decode(data);
  const begin = process.cpuUsage();
  const loaded = await load(data, text);
  if (loaded !== undefined) build(loaded, { log }).close();
  checkEndpoints(text);
  const { user, system } = process.cpuUsage(begin);
  assert(user + system < longestMs * 1_000, `took ${(user + system) / 1_000} ms`);
}

async function load(data: Uint8Array, text: string): Promise<Loaded | undefined> {
  try {
    return await loadConfig(name, (path) => {
      if (path === name) return data;
      throw Object.assign(new Error("not found"), { code: "ENOENT" });
    });
  } catch (error) {
    checkReport(error, text);
    return undefined;
  }
}

/** The same text as a file of endpoints. */
function checkEndpoints(text: string): void {
  try {
    assert(Array.isArray(parseEndpoints("endpoints.yaml", text, { secure: false, who: 'upstream "a"' })));
  } catch (error) {
    checkReport(error, text);
  }
}

function checkReport(error: unknown, text: string): void {
  if (!(error instanceof ConfigError)) throw error;
  assert(error.problems.length > 0);
  const lines = text.split(/\r?\n/);
  for (const { line, column, length, message } of error.problems) {
    assert(message !== "");
    assert(line >= 1 && line <= lines.length, `line ${line} of ${lines.length}: ${message}`);
    const { length: width } = lines[line - 1]!;
    assert(column >= 1 && column - 1 <= width && length >= 1, `column ${column} of ${width}: ${message}`);
    assert(error.message.includes(`:${line}:${column}: `));
  }
}

/** Changes whole lines, so that the file is still YAML in most cases: it takes more to find out what is wrong with it. */
export function mutate(bytes: Buffer, next: Next): Buffer {
  const lines = bytes.toString("utf8").split("\n");
  const at = next(lines.length);
  const line = lines[at]!;
  const indent = line.length - line.trimStart().length;
  switch (next(6)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(next(lines.length + 1), 0, line);
      break;
    case 2:
      lines.splice(at, 0, " ".repeat(indent) + lines[next(lines.length)]!.trimStart());
      break;
    case 3:
      lines[at] = " ".repeat(Math.max(0, indent + 2 * next(3) - 2)) + line.trimStart();
      break;
    case 4:
      lines[at] = line.replace(/(?<=[:-] ).*$/, values[next(values.length)]!);
      break;
    default:
      lines[at] = line.replace(/\w+(?=:)/, () => /\w+(?=:)/.exec(lines[next(lines.length)]!)?.[0] ?? "x");
  }
  return Buffer.from(lines.join("\n"));
}
