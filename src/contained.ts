/** Contained: callbacks of a user's, and what becomes of what they throw. */
import type { Call } from "./call.ts";
import type { Log } from "./observe/log.ts";

/** What is told of a call, or of a request that was none. */
interface Told {
  readonly call?: Call;
  readonly path?: string;
}

/** What a user's callback throws is logged: it would end the connection, or from a timer the process, that it was called for. */
export function contained<T extends Told>(
  tell: (record: T) => void,
  { log, what }: { readonly log: Log | undefined; readonly what: string },
): (record: T) => void {
  return (record) => {
    try {
      tell(record);
    } catch (error) {
      log?.error({ path: record.call?.path ?? record.path, error: errorText(error) }, `${what} failed`);
    }
  };
}

/** Anything that was thrown, for the log: with its stack where it has one. */
export function errorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
