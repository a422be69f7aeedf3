/** Usable: which of some endpoints calls should go to, by priority tiers and panic. Pure, and asked only when one of them changes. */

/** What counts of an endpoint. */
export interface Member {
  /** 0 is the first tier. */
  readonly priority: number;
  /** Not disabled by hand, and not closed. */
  readonly enabled: boolean;
  /** Healthy, enabled and not ejected. */
  readonly ready: boolean;
  /** It can be connected to, as far as is known. */
  readonly available: boolean;
}

export interface Usable<T> {
  readonly endpoints: readonly T[];
  /** So few are ready that also those that aren't are used: calls to all of them fail less than all calls to a few. */
  readonly panic: boolean;
}

/**
 * The first tier of which enough is ready and can be reached; where none has enough, the first of which any can be reached. Within
 * that, all where so few are ready that it is more likely a fault of ours, or of the network, than theirs.
 *
 * @param panicPercent ready endpoints of a tier, in percent, below which all are used; 0: never
 */
export function usableOf<T extends Member>(members: readonly T[], panicPercent: number): Usable<T> {
  const tiers = tiersOf(members);
  const enough = (part: readonly T[], tier: readonly T[]) => part.length * 100 >= tier.length * panicPercent;
  for (const tier of tiers) {
    const up = tier.filter((one) => one.ready && one.available);
    if (up.length > 0 && enough(up, tier)) return { endpoints: up, panic: false };
  }
  for (const tier of tiers) {
    const ready = tier.filter((one) => one.ready);
    const panic = !enough(ready, tier);
    const up = (panic ? tier : ready).filter((one) => one.available);
    if (up.length > 0) return { endpoints: up, panic };
  }
  return { endpoints: [], panic: false };
}

/** By priority, the first first; without what is disabled, which counts nowhere. */
function tiersOf<T extends Member>(members: readonly T[]): T[][] {
  const tiers = new Map<number, T[]>();
  for (const member of members) {
    if (!member.enabled) continue;
    const tier = tiers.get(member.priority);
    if (tier === undefined) tiers.set(member.priority, [member]);
    else tier.push(member);
  }
  return [...tiers].sort(([a], [b]) => a - b).map(([, tier]) => tier);
}
