/** What is wrong with a configuration file, and how it is shown: place, source line, caret, hint. */

/** One fault. Lines and columns count from 1; `length` is in characters of that line. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
  readonly message: string;
  readonly hint?: string;
  /** Its line of a file that isn't the one reported on. */
  readonly text?: string;
}

/** A file that can't be used. Its message is the whole report: every problem, ready to print. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];

  /** @param source the text of the file; undefined where it couldn't be read */
  constructor(problems: readonly Problem[], source?: string) {
    super(
      source === undefined
        ? problems.map((problem) => `${problem.file}: ${problem.message}`).join("\n")
        : formatProblems(problems, source),
    );
    this.problems = problems;
  }
}

/** Every problem with its source line, in the order of the file, blank lines between. */
export function formatProblems(problems: readonly Problem[], source: string): string {
  const lines = source.split(/\r?\n/);
  const gutter = String(Math.max(0, ...problems.map((problem) => problem.line))).length;
  return problems
    .map((problem) => formatProblem(problem, problem.text ?? lines[problem.line - 1] ?? "", gutter))
    .join("\n\n");
}

function formatProblem(problem: Problem, line: string, gutter: number): string {
  const head = `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;
  const before = line.slice(0, problem.column - 1).replace(/[^\t]/g, " "); // tabs stay, so that the caret stands right
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a report must not send them to a terminal
  const shown = line.replace(/[\0-\x08\x0b-\x1f\x7f]/g, "\ufffd");
  const carets = "^".repeat(problem.length);
  const hint = problem.hint === undefined ? "" : ` ${problem.hint}`;
  return [
    head,
    `  ${String(problem.line).padStart(gutter)} | ${shown}`,
    `  ${" ".repeat(gutter)} | ${before}${carets}${hint}`,
  ].join("\n");
}

/** The order of the file; then what is wrong in others. */
export function byPlace(a: Problem, b: Problem): number {
  const foreign = Number(a.text !== undefined) - Number(b.text !== undefined);
  if (foreign !== 0 || a.file !== b.file) return foreign || (a.file < b.file ? -1 : 1);
  return a.line - b.line || a.column - b.column;
}
