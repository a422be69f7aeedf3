/** Watch: notices that files have changed, by looking at them. */
import { stat } from "node:fs/promises";

/**
 * Milliseconds between two looks. Looking sees every kind of change (an editor's rename, Kubernetes' exchange of a link, network
 * file systems) on every runtime alike, and costs one `stat` a file.
 */
const intervalMs = 1_000;

/** Milliseconds in which nothing may have changed any more: a file is seldom written at one go, nor several at one time. */
const settleMs = 150;

export interface Watch {
  /** Which files, from now on; what those that are new to it are now counts as known. */
  files(paths: Iterable<string>): Promise<void>;
  stop(): void;
}

/** What each file was when it was last looked at. */
type States = ReadonlyMap<string, string>;

/** @param onChange called once for changes that come together; the next look is after its promise */
export function watchFiles(onChange: () => Promise<unknown>): Watch {
  let known: States = new Map();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  const schedule = () => {
    if (stopped) return;
    timer = setTimeout(() => void look().finally(schedule), intervalMs);
    timer.unref();
  };
  const look = async () => {
    const now = await statesOf(known.keys());
    if (areSame(now, known) || stopped) return;
    known = await settled(now);
    if (!stopped) await onChange();
  };
  schedule();
  return {
    async files(paths) {
      const found = await statesOf(paths);
      // what is known is from before they were read, and stays: else what changes while they are read would not be seen
      known = new Map([...found].map(([path, state]) => [path, known.get(path) ?? state]));
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

async function settled(states: States): Promise<States> {
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const now = await statesOf(states.keys());
  return areSame(now, states) ? now : settled(now);
}

/** Which file there is by each name, links followed, and when it was written. */
async function statesOf(paths: Iterable<string>): Promise<States> {
  const states = [...paths].map(async (path) => {
    const state = await stat(path).then(
      ({ ino, size, mtimeMs, ctimeMs }) => `${ino} ${size} ${mtimeMs} ${ctimeMs}`,
      () => "absent",
    );
    return [path, state] as const;
  });
  return new Map(await Promise.all(states));
}

function areSame(a: States, b: States): boolean {
  return [...a].every(([path, state]) => b.get(path) === state);
}
