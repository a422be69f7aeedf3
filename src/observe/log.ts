/** Log: a small writer of leveled lines, shaped like pino so that a pino logger can be passed in its place. */
import { clock, colours } from "./colour.ts";
import type { WriteLine } from "./lines.ts";
import { printable, printableJson } from "./printable.ts";

/** Numbers as pino writes them. */
const levels = { debug: 20, info: 30, warn: 40, error: 50, silent: Number.POSITIVE_INFINITY } as const;

/** What `--log-level` may say, from the most to the least. */
export type LogLevel = keyof typeof levels;

export const logLevels = Object.keys(levels) as readonly LogLevel[];

/** What the parts of the proxy log with. */
export interface Log {
  readonly level: string;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LogOptions {
  /** Gets whole lines, each with its "\n". */
  readonly write: WriteLine;
  /** Lines below it aren't written. Default "info". */
  readonly level?: LogLevel;
  /** "json": one object per line with `level` (pino's number), `time` (ms since 1970), `msg`, and the fields. Default. */
  readonly format?: "json" | "pretty";
  /** Escape sequences in the pretty format. Default false. */
  readonly colour?: boolean;
}

type Level = Exclude<LogLevel, "silent">;
type Format = (level: Level, fields: object, message: string) => string;

export function createLog(options: LogOptions): Log {
  const { write, level = "info" } = options;
  const format = options.format === "pretty" ? prettyFormat(options.colour ?? false) : jsonFormat;
  const at = (one: Level) =>
    levels[one] < levels[level] ? () => {} : (fields: object, message: string) => write(format(one, fields, message));
  return { level, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function jsonFormat(level: Level, fields: object, message: string): string {
  const line = JSON.stringify({ level: levels[level], time: Date.now(), ...fields, msg: message }, plainValue);
  return `${printableJson(line)}\n`;
}

function prettyFormat(colour: boolean): Format {
  const { dim, red, green, yellow } = colours(colour);
  const names = { debug: dim("debug"), info: green("info "), warn: yellow("warn "), error: red("error") };
  return (level, fields, message) => {
    const pairs = Object.entries(fields).map(([key, value]) => `${dim(`${printable(key)}=`)}${show(value)}`);
    return `${[dim(clock(new Date())), names[level], printable(message), ...pairs].join("  ")}\n`;
  };
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(plainValue("", value), plainValue) ?? String(value));
  return printable(text);
}

/** What JSON can't write, or would write as `{}`. */
function plainValue(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return typeof value === "bigint" ? String(value) : value;
}
