/** The turn of the event loop: what time it is in it, and what is done once at its end. */

/** Something that gathers work during a turn. */
export interface TurnTask {
  endTurn(): void;
}

let tasks: TurnTask[] = [];
let spare: TurnTask[] = [];
let ending = false;

/**
 * The time of this turn in milliseconds of `performance.now()`, read once for each chunk of input, not for each frame in it.
 */
export const turn = { now: performance.now() };

/** Reads the clock; called at the start of every event that comes from outside. */
export function startTurn(): number {
  turn.now = performance.now();
  return turn.now;
}

/**
 * Runs a task after all sockets that are readable now have been read. One write for each connection and turn, instead of
 * one for each frame, is most of what makes the relay cheap; `setImmediate` is the end of the poll phase on every runtime.
 */
export function atEndOfTurn(task: TurnTask): void {
  if (tasks.push(task) === 1 && !ending) setImmediate(endTurn);
}

/** What tasks leave to others, as a part of a body that was gathered to the connection it leaves by, is done in the same turn. */
function endTurn(): void {
  ending = true;
  try {
    while (tasks.length > 0) {
      const due = tasks;
      tasks = spare;
      spare = due;
      for (const task of due) task.endTurn();
      due.length = 0;
    }
  } finally {
    ending = false;
    if (tasks.length > 0) setImmediate(endTurn);
  }
}
