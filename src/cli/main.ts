/** The entry of the command on every runtime: `node bin/manifold`, `bun src/cli/main.ts`, `deno run -A src/cli/main.ts`. */
import process from "node:process";
import { ConfigError } from "../config/problem.ts";
import { errorText } from "../contained.ts";
import { type Command, parseCommand, UsageError } from "./args.ts";
import { AskError, ask } from "./ask.ts";
import { check } from "./check.ts";
import { help } from "./help.ts";
import { InitError, init } from "./init.ts";
import { packageVersion } from "./package.ts";

/** @returns the exit code */
async function run(command: Command): Promise<number> {
  switch (command.name) {
    case "help":
      process.stdout.write(help);
      return 0;
    case "version":
      process.stdout.write(`${packageVersion()}\n`);
      return 0;
    case "check":
      await check(command.config);
      return 0;
    case "reload":
    case "restart":
      return ask(command.name, command.config);
    case "init":
      init(command.file);
      return 0;
    // These two load the whole proxy, which the others need not wait for.
    case "serve":
      return (await import("./serve.ts")).runServe(command);
    case "demo":
      return (await import("./demo/demo.ts")).runDemo(command);
  }
}

/** What the user can mend is told in full and without a stack; the rest is a fault of ours, and its stack helps. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`manifold: ${error.message}\n  see manifold --help\n`);
    return 2;
  }
  if (error instanceof ConfigError) {
    const count = error.problems.length;
    process.stderr.write(`${error.message}\n\n${count} problem${count === 1 ? "" : "s"}\n`);
  } else if (isSystemError(error)) {
    process.stderr.write(`manifold: ${systemMessage(error)}\n`);
  } else if (error instanceof InitError || error instanceof AskError) {
    process.stderr.write(`manifold: ${error.message}\n`);
  } else {
    process.stderr.write(`manifold: ${errorText(error)}\n`);
  }
  return 1;
}

/** An error of the operating system, such as a port that can't be had. */
interface SystemError extends Error {
  readonly code: string;
  readonly address?: string;
  readonly port?: number;
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "code" in error && "syscall" in error;
}

const whyNot: Record<string, string> = {
  EADDRINUSE: "is in use already",
  EADDRNOTAVAIL: "is no address of this machine",
  EACCES: "needs more rights than this user has",
};

/** Each runtime has its own words for these. */
function systemMessage({ code, address, port, message }: SystemError): string {
  const why = whyNot[code];
  if (why === undefined || address === undefined || port === undefined) return message;
  return `${address.includes(":") ? `[${address}]` : address}:${port} ${why}`;
}

let code: number;
try {
  code = await run(parseCommand(process.argv.slice(2)));
} catch (error) {
  code = report(error);
}
process.exit(code);
