/** Names for answers: two backends may have one name, and none of their answers is left out. */

/** The name, or the name with a number behind it. */
export function freeName(taken: ReadonlyMap<string, unknown>, name: string): string {
  let free = name;
  for (let count = 2; taken.has(free); count++) free = `${name} (${count})`;
  return free;
}
