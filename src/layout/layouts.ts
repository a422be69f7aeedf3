/** The layouts that have names: what a configuration may say. */
import type { Layout } from "./layout.ts";
import { merge, talosMerge } from "./merge.ts";
import { wrap } from "./wrap.ts";

const byName = { wrap, merge, talos: talosMerge } as const;

export const layoutNames = Object.keys(byName) as readonly LayoutName[];

export type LayoutName = keyof typeof byName;

/** The layout of a name; undefined where there is none. */
export function layoutOf(name: string): Layout | undefined {
  return Object.hasOwn(byName, name) ? byName[name as LayoutName] : undefined;
}
