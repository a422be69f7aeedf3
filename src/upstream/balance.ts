/** Balance: which endpoint a call goes to. An algorithm only chooses; who is ready is decided elsewhere. */
import type { Call } from "../call.ts";
import type { Endpoint } from "./endpoint.ts";

/** One upstream's choice; it may keep state between calls. */
export interface Balance {
  /**
   * @param ready at least one endpoint; the array changes only when an endpoint comes or goes
   * @returns an index into `ready`
   */
  pick(ready: readonly Endpoint[], call: Call): number;
}

/** One after the other, per call, whatever connection the calls come in on. */
export function roundRobin(): Balance {
  let next = 0;
  return {
    pick(ready) {
      if (next >= ready.length) next = 0;
      return next++;
    },
  };
}
