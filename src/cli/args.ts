/** The command line: words to a command, with an error that says what was meant where they make none. */
import { parseArgs } from "node:util";
import type { Protocol } from "../call.ts";
import type { Parsed } from "../config/parsed.ts";
import { parseAddress, parseEndpointUrl, parseOrigin } from "../config/place.ts";
import { maxWorkers } from "../config/schema.ts";
import { suggestion } from "../config/suggest.ts";
import { protocols } from "../config/upstream-schema.ts";
import { type LogLevel, logLevels } from "../observe/log.ts";

/** What lines look like: "auto" is pretty on a terminal and JSON otherwise. */
export type AccessLogFormat = "auto" | "pretty" | "json" | "off";

export interface UpstreamWords {
  readonly protocols?: readonly Protocol[];
  readonly http?: "2" | "1.1";
  /** "reflection", or the path of an image. */
  readonly schema?: string;
}

export interface ServeCommand {
  readonly name: "serve" | "demo";
  /** Path of a file; undefined where none was given. */
  readonly config: string | undefined;
  readonly listen: readonly string[];
  readonly to: readonly string[];
  /** What is said of the upstream that `to` makes. */
  readonly upstream: UpstreamWords;
  /** Origins of pages that may call. */
  readonly cors: readonly string[];
  readonly logLevel: LogLevel | undefined;
  readonly accessLog: AccessLogFormat | undefined;
  /** Reload when a file changes. */
  readonly watch: boolean;
  /** Processes; undefined where nothing is said. */
  readonly workers: number | "auto" | undefined;
}

export type Command =
  | ServeCommand
  | { readonly name: "check" | "reload" | "restart"; readonly config: string | undefined }
  | { readonly name: "init"; readonly file: string | undefined }
  | { readonly name: "help" | "version" };

/** The words make no command. Nothing was done; the exit code is 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const options = {
  config: { type: "string", short: "c" },
  listen: { type: "string", short: "l", multiple: true },
  to: { type: "string", short: "t", multiple: true },
  protocols: { type: "string" },
  http: { type: "string" },
  schema: { type: "string" },
  cors: { type: "string", multiple: true },
  "log-level": { type: "string" },
  "access-log": { type: "string" },
  "no-access-log": { type: "boolean" },
  "no-watch": { type: "boolean" },
  workers: { type: "string", short: "w" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const;

type Option = keyof typeof options;

const ofUpstream: readonly Option[] = ["protocols", "http", "schema"];
const forServing: readonly Option[] = [
  "listen",
  "to",
  ...ofUpstream,
  "cors",
  "log-level",
  "access-log",
  "no-access-log",
];

/** The commands and what each takes. */
const commands: Record<string, { readonly options: readonly Option[]; readonly words: number }> = {
  serve: { options: ["config", ...forServing, "no-watch", "workers"], words: 0 },
  demo: { options: forServing, words: 0 },
  check: { options: ["config"], words: 0 },
  reload: { options: ["config"], words: 0 },
  restart: { options: ["config"], words: 0 },
  init: { options: [], words: 1 },
};

const accessLogFormats: readonly AccessLogFormat[] = ["auto", "pretty", "json", "off"];

/**
 * Reads the words after the program's name.
 *
 * @throws UsageError naming the first word that doesn't fit
 */
export function parseCommand(argv: readonly string[]): Command {
  // Not strict: each runtime has its own texts for these faults, and none says what was meant.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const words = tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));
  const given = tokens.flatMap((token) => (token.kind === "option" ? [checkedOption(token)] : []));
  if (given.some(({ name }) => name === "help")) return { name: "help" };
  if (given.some(({ name }) => name === "version")) return { name: "version" };
  const name = words[0] ?? "serve";
  const command = Object.hasOwn(commands, name)
    ? commands[name]!
    : fail(`unknown command "${name}"`, name, Object.keys(commands));
  const extra = words[1 + command.words];
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
  const foreign = given.find((option) => !command.options.includes(option.name));
  if (foreign !== undefined) throw new UsageError(`"${foreign.written}" is not an option of ${name}`);
  const values = (option: Option) => given.flatMap((one) => (one.name === option ? [one.value ?? ""] : []));
  switch (name) {
    case "check":
    case "reload":
    case "restart":
      return { name, config: values("config").at(-1) };
    case "init":
      return { name, file: words[1] };
    default:
      return servingCommand(name === "demo" ? "demo" : "serve", values);
  }
}

interface Given {
  readonly name: Option;
  /** "--listen", "-l": as on the command line. */
  readonly written: string;
  readonly value: string | undefined;
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkedOption({ name, rawName: written, value, inlineValue }: OptionToken): Given {
  if (!Object.hasOwn(options, name)) {
    fail(
      `unknown option "${written}"`,
      written,
      Object.keys(options).map((known) => `--${known}`),
    );
  }
  const option = name as Option;
  if (options[option].type === "boolean") {
    if (value !== undefined) throw new UsageError(`"${written}" takes no value`);
  } else if (value === undefined || value === "" || (!inlineValue && value.startsWith("-"))) {
    throw new UsageError(`"${written}" needs a value`);
  }
  return { name: option, written, value };
}

function servingCommand(name: "serve" | "demo", values: (option: Option) => string[]): ServeCommand {
  const config = values("config").at(-1);
  const to = values("to");
  if (config !== undefined && to.length > 0) {
    throw new UsageError('"--to" is for the case without a file: with "--config", give upstreams and routes there');
  }
  const stray = ofUpstream.find((option) => values(option).length > 0);
  if (stray !== undefined && to.length === 0) {
    throw new UsageError(`"--${stray}" is said of the servers that "--to" names: in a file, give ${stray} there`);
  }
  for (const address of values("listen")) orFail("--listen", parseAddress(address));
  for (const url of to) orFail("--to", parseEndpointUrl(url));
  for (const origin of values("cors")) orFail("--cors", parseOrigin(origin));
  const accessLog = values("no-access-log").length > 0 ? "off" : values("access-log").at(-1);
  return {
    name,
    config,
    listen: values("listen"),
    to,
    upstream: upstreamWords(values),
    cors: values("cors"),
    logLevel: oneOf("--log-level", values("log-level").at(-1), logLevels),
    accessLog: oneOf("--access-log", accessLog, accessLogFormats),
    watch: values("no-watch").length === 0,
    workers: workersOf(values("workers").at(-1)),
  };
}

function workersOf(given: string | undefined): number | "auto" | undefined {
  if (given === undefined || given === "auto") return given;
  const count = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  if (count < 1 || count > maxWorkers) {
    throw new UsageError(`--workers: expected auto, or a number from 1 to ${maxWorkers}, not "${given}"`);
  }
  return count;
}

function upstreamWords(values: (option: Option) => string[]): UpstreamWords {
  const given = values("protocols").at(-1);
  const list = given?.split(",").map((word) => oneOf("--protocols", word.trim(), protocols)!);
  const http = oneOf("--http", values("http").at(-1), ["2", "1.1"] as const);
  const schema = values("schema").at(-1);
  const repeated = list?.find((protocol, index) => list.indexOf(protocol) < index);
  if (repeated !== undefined) throw new UsageError(`--protocols: "${repeated}" is given twice`);
  if (http === "1.1" && (list ?? ["grpc"]).includes("grpc")) {
    throw new UsageError("--http 1.1: grpc can't be spoken over HTTP/1.1\n  give --protocols grpc_web, or connect");
  }
  return {
    ...(list === undefined ? {} : { protocols: list }),
    ...(http === undefined ? {} : { http }),
    ...(schema === undefined ? {} : { schema }),
  };
}

function oneOf<T extends string>(option: string, value: string | undefined, known: readonly T[]): T | undefined {
  if (value === undefined || (known as readonly string[]).includes(value)) return value as T | undefined;
  return fail(`${option}: unknown value "${value}"`, value, known);
}

function orFail(option: string, parsed: Parsed<unknown>): void {
  if (parsed.ok) return;
  throw new UsageError(`${option}: ${parsed.message}${parsed.hint === undefined ? "" : `\n  ${parsed.hint}`}`);
}

function fail(message: string, word: string, known: readonly string[]): never {
  const hint = suggestion(word, known);
  throw new UsageError(hint === undefined ? message : `${message}\n  ${hint}`);
}
