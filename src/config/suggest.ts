/** "did you mean": the known word that a mistyped one is nearest to. */

/**
 * The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case and `-` for `_` count for
 * nothing), or undefined where even that differs in more than a third of the word, at least one letter, or in all of it.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const most = Math.min(Math.max(1, Math.floor(word.length / 3)), word.length - 1);
  let best: string | undefined;
  let bestDistance = most + 1;
  for (const candidate of candidates) {
    const distance = editDistance(folded(word), folded(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** The hint for a word that isn't known: the nearest one, else all of them where they are few. */
export function suggestion(word: string, candidates: readonly string[]): string | undefined {
  const best = nearest(word, candidates);
  if (best !== undefined) return `did you mean "${best}"?`;
  if (candidates.length === 0 || candidates.length > 16) return undefined;
  return candidates.length === 1 ? `known is only "${candidates[0]}"` : `known: ${candidates.join(", ")}`;
}

function folded(word: string): string {
  return word.toLowerCase().replaceAll("-", "_");
}

/** Optimal string alignment distance; three rows are enough. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replace, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, beforeLast[j - 2]! + 1);
      row.push(best);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}
