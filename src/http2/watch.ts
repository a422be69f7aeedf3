/** Watch: one timer for all connections, which looks at each of them now and then instead of arming timers per call or connection. */
import { type Member, Roster } from "./roster.ts";
import { startTurn } from "./turn.ts";

/** Something that has deadlines of seconds. */
export interface Watched extends Member {
  /** Looks at its deadlines; called every `watchEveryMs`. */
  check(now: number): void;
}

/** Half a second: of the deadlines that are watched, a last GOAWAY's is the shortest, and 1 s; the others' defaults begin at 10 s. */
export const watchEveryMs = 500;

const watched = new Roster<Watched>();
let timer: ReturnType<typeof setInterval> | undefined;

export function watch(one: Watched): void {
  watched.add(one);
  timer ??= setInterval(checkAll, watchEveryMs);
}

/** The timer stops with the last one, so that a process whose connections are closed can exit. */
export function unwatch(one: Watched): void {
  watched.delete(one);
  if (watched.size > 0 || timer === undefined) return;
  clearInterval(timer);
  timer = undefined;
}

function checkAll(): void {
  const now = startTurn();
  for (const one of watched.all()) if (one.place >= 0) one.check(now);
}
