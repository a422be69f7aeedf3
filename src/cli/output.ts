/** What the command prints on standard output: where it listens, the log, and a line for each call. */
import process from "node:process";
import { type AccessLog, createAccessLog } from "../observe/access-log.ts";
import { gatherLines } from "../observe/lines.ts";
import { createLog, type Log, type LogLevel } from "../observe/log.ts";
import type { BoundAddress } from "../serve/listener.ts";
import type { AccessLogFormat } from "./args.ts";

export interface Output {
  readonly format: "pretty" | "json";
  readonly log: Log;
  /** Undefined where calls aren't logged. */
  readonly accessLog: AccessLog | undefined;
  /** Prints a line whatever the log level: plain text, or a line of JSON with the fields. */
  announce(message: string, fields?: object): void;
  /** Resolves when all is written. */
  flush(): Promise<void>;
}

export interface OutputOptions {
  readonly accessLog: AccessLogFormat;
  readonly level: LogLevel;
  /** Other processes write to the same pipe. Default false. */
  readonly shared?: boolean;
}

/** Bytes of a write to a pipe that no other process's comes in between of, everywhere (PIPE_BUF of POSIX; 4,096 on Linux). */
const atomic = 512 * 8;

export function createOutput(options: OutputOptions): Output {
  const { stdout } = process;
  stdout.on("error", () => {}); // who reads it may go away (EPIPE); calls go on
  const put = (text: string) => void stdout.write(text);
  const lines = gatherLines(options.shared === true ? (text) => writeParts(text, put) : put);
  const { write } = lines;
  const terminal = stdout.isTTY === true;
  const format =
    options.accessLog === "pretty" || options.accessLog === "json" ? options.accessLog : terminal ? "pretty" : "json";
  const colour = terminal && (process.env.NO_COLOR ?? "") === "";
  const announcements = createLog({ write, level: "info", format: "json" });
  return {
    format,
    log: createLog({ write, level: options.level, format, colour }),
    accessLog: options.accessLog === "off" ? undefined : createAccessLog({ write, format, colour }),
    announce(message, fields = {}) {
      if (format === "json") announcements.info(fields, message);
      else write(`${message}\n`);
      lines.flush();
    },
    flush() {
      lines.flush();
      return new Promise((resolve) => stdout.write("", () => resolve()));
    },
  };
}

/** Whole lines, in writes that stay whole; a line that is longer than that has to take its chance. */
function writeParts(text: string, write: (part: string) => void): void {
  let part = "";
  for (const line of text.split(/(?<=\n)/)) {
    if (part !== "" && Buffer.byteLength(part) + Buffer.byteLength(line) > atomic) {
      write(part);
      part = "";
    }
    part += line;
  }
  if (part !== "") write(part);
}

/** Says where it listens. */
export function announceAddresses(addresses: readonly BoundAddress[], { announce }: Output): void {
  for (const { address, port, secure } of addresses) {
    const host = address.includes(":") ? `[${address}]` : address;
    const url = `${secure ? "https" : "http"}://${host}:${port}`;
    announce(`listening on ${url}`, { address, port, secure });
  }
}
