/** Files of a configuration: what was read for it, so that it can be watched, compared, and read again elsewhere. */
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { fromDisk, type ReadFile } from "./read-file.ts";

/** Contents by absolute path; undefined where a file couldn't be read. */
export type FileContents = ReadonlyMap<string, Uint8Array | undefined>;

/** Reads files and remembers what was in them. One for each time that a configuration is loaded. */
export class FileRecord {
  readonly #folder: string;
  readonly #from: ReadFile;
  readonly #contents = new Map<string, Uint8Array | undefined>();

  /**
   * @param file path of the configuration: paths in it are relative to its folder
   * @param from where contents come from. Default: the disk
   */
  constructor(file: string, from: ReadFile = fromDisk) {
    this.#folder = dirname(file);
    this.#from = from;
  }

  /** For `loadConfig()`. */
  readonly read: ReadFile = (path) => {
    const at = resolve(path);
    this.#contents.set(at, undefined);
    const bytes = this.#from(path);
    this.#contents.set(at, bytes);
    return bytes;
  };

  /** Everything that was asked for, there or not. */
  get contents(): FileContents {
    return this.#contents;
  }

  /** A digest of what was in a file that the configuration names; undefined where nothing was read by that name. */
  digest(path: string): string | undefined {
    const bytes = this.#contents.get(resolve(this.#folder, path));
    return bytes === undefined ? undefined : createHash("sha256").update(bytes).digest("hex");
  }
}

/** Reads from what another process has read. Throws what `readFileSync` does for files that aren't there. */
export function readFrom(contents: FileContents): ReadFile {
  return (path) => {
    const bytes = contents.get(resolve(path));
    if (bytes === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return bytes;
  };
}
