/** Mutations: reads `mutations.txt`, and makes one of them in a copy of the command. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Mutation {
  /** What is wrong then. */
  readonly what: string;
  /** The tests that must fail: a file of `test/runtimes`, without its ending, and their whole names. */
  readonly tests: readonly { readonly suite: string; readonly names: RegExp }[];
  /** More than one where what is broken is guarded twice. */
  readonly changes: readonly Change[];
}

export interface Change {
  /** Of `src` and `dist`, without its ending. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const block = /^# (.+)\n((?:test [\w-]+: .+\n)+)((?:file \S+\n- .+\n\+.*\n)+)$/;

/** @throws Error for a block that isn't one */
export function readMutations(): Mutation[] {
  const [, ...blocks] = readFileSync(new URL("mutations.txt", import.meta.url), "utf8")
    .trim()
    .split(/\n\n(?=# )/);
  return blocks.map((text) => {
    const [, what = "", lines = "", parts = ""] = block.exec(`${text}\n`) ?? [];
    if (what === "") throw new Error(`no mutation:\n${text}`);
    const tests = [...lines.matchAll(/^test (\S+): (.+)$/gm)].map(([, suite = "", names = ""]) => {
      // behind the name of the suite, which ends in the runtime's; and not A10 for A1
      return { suite, names: new RegExp(`\\) (?:${names})(?!\\d)`) };
    });
    const changes = [...parts.matchAll(/^file (\S+)\n- (.+)\n\+(.*)$/gm)].map(
      ([, file = "", find = "", replace = ""]) => ({ file, find, replace: replace.trim() }),
    );
    return { what, tests, changes };
  });
}

/**
 * Changes the one place of each change in what is built, which Node runs, and in the source, which Bun and Deno run. Returns what undoes
 * that.
 *
 * @param copy the folder of both, with a slash at its end
 * @throws Error where there isn't just one such place: then nothing has changed
 */
export function mutate(copy: string, { changes }: Mutation): () => void {
  const before = new Map<string, string>();
  const after = new Map<string, string>();
  for (const { file, find, replace } of changes) {
    for (const path of [join(copy, `dist/${file}.js`), join(copy, `src/${file}.ts`)]) {
      const text = after.get(path) ?? readFileSync(path, "utf8");
      if (!before.has(path)) before.set(path, text);
      const place = placeOf(find);
      const count = text.match(place)?.length ?? 0;
      if (count !== 1) throw new Error(`"${find}" is ${count} times in ${path}`);
      after.set(
        path,
        text.replace(place, () => replace),
      );
    }
  }
  const write = (texts: Map<string, string>) => {
    for (const [path, text] of texts) writeFileSync(path, text);
  };
  write(after);
  return () => write(before);
}

/** What stands there, whatever white space is in between. */
export function placeOf(find: string): RegExp {
  const words = find.split(" ").map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(words.join("\\s+"), "g");
}
