/** Mutations: reads `mutations.txt`, and makes one of them in a copy of the command. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Mutation {
  /** What is wrong then. */
  readonly what: string;
  /** The tests that must fail: a file of `test/runtimes`, without its ending, and their whole names. */
  readonly tests: readonly { readonly suite: string; readonly names: RegExp }[];
  /** Of `src` and `dist`, without its ending. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const block = /^# (.+)\n((?:test [\w-]+: .+\n)+)file (\S+)\n- (.+)\n\+(.*)$/;

/** @throws Error for a block that isn't one */
export function readMutations(): Mutation[] {
  const [, ...blocks] = readFileSync(new URL("mutations.txt", import.meta.url), "utf8")
    .trim()
    .split(/\n\n(?=# )/);
  return blocks.map((text) => {
    const [, what = "", lines = "", file = "", find = "", replace = ""] = block.exec(text) ?? [];
    if (what === "") throw new Error(`no mutation:\n${text}`);
    const tests = [...lines.matchAll(/^test (\S+): (.+)$/gm)].map(([, suite = "", names = ""]) => {
      // behind the name of the suite, which ends in the runtime's; and not A10 for A1
      return { suite, names: new RegExp(`\\) (?:${names})(?!\\d)`) };
    });
    return { what, tests, file, find, replace: replace.trim() };
  });
}

/**
 * Changes the one place in what is built, which Node runs, and in the source, which Bun and Deno run. Returns what undoes that.
 *
 * @param copy the folder of both, with a slash at its end
 * @throws Error where there isn't just one such place
 */
export function mutate(copy: string, { file, find, replace }: Mutation): () => void {
  const paths = [join(copy, `dist/${file}.js`), join(copy, `src/${file}.ts`)];
  const texts = paths.map((path) => readFileSync(path, "utf8"));
  const place = placeOf(find);
  texts.forEach((text, at) => {
    const count = text.match(place)?.length ?? 0;
    if (count !== 1) throw new Error(`"${find}" is ${count} times in ${paths[at]}`);
    writeFileSync(
      paths[at]!,
      text.replace(place, () => replace),
    );
  });
  return () => texts.forEach((text, at) => void writeFileSync(paths[at]!, text));
}

/** What stands there, whatever white space is in between. */
export function placeOf(find: string): RegExp {
  const words = find.split(" ").map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(words.join("\\s+"), "g");
}
