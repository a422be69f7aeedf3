/** Reads the files of a configuration; what can't be read is told in words. */
import { readFileSync } from "node:fs";

/** How a file gets read; a test has its files in memory. Throws what `readFileSync` throws. */
export type ReadFile = (path: string) => Uint8Array;

export const fromDisk: ReadFile = (path) => readFileSync(path);

export function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function whyUnread(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "may not be read";
  if (code === "EISDIR") return "a folder, not a file";
  return `can't be read (${String(code)})`;
}
