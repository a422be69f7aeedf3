/** The options of protoc-gen-manifold, beside those that all plugins for protobuf-es have. */
import { type LayoutName, layoutNames } from "../layout/layouts.ts";

/** What is written: the `.proto`, code for TypeScript or JavaScript, routes for the proxy. */
export type Output = "proto" | "es" | "routes";

const outputs: readonly Output[] = ["proto", "es", "routes"];

export interface Options {
  /** Every method, whether it is marked or not. Default false. */
  readonly all: boolean;
  /** Of methods that don't name one. Default "wrap". */
  readonly layout: LayoutName;
  /** Names of the upstreams that the routes send calls to. Default none: to be named where the routes are included. */
  readonly to: readonly string[];
  /** Default all. */
  readonly emit: readonly Output[];
}

/**
 * Reads options: `all`, `layout=merge`, `to=nodes`, `emit=proto+routes`. Those that can be lists may be given more than once.
 *
 * @throws Error that names the option
 */
export function parseOptions(raw: readonly { key: string; value: string }[]): Options {
  let all = false;
  let layout: LayoutName = "wrap";
  const to: string[] = [];
  const emit: Output[] = [];
  for (const { key, value } of raw) {
    if (key === "all") all = boolean(key, value);
    else if (key === "layout") layout = oneOf(key, value, layoutNames);
    else if (key === "to") to.push(...list(key, value));
    else if (key === "emit") emit.push(...list(key, value).map((one) => oneOf(key, one, outputs)));
    else throw new Error(`unknown option "${key}": there are all, layout, to, emit, and those of protobuf-es`);
  }
  return { all, layout, to, emit: emit.length === 0 ? outputs : emit };
}

function boolean(key: string, value: string): boolean {
  return oneOf(key, value === "" ? "true" : value, ["true", "false"]) === "true";
}

function list(key: string, value: string): string[] {
  const items = value.split("+");
  if (items.includes("")) throw new Error(`option "${key}" has an empty value in "${value}"`);
  return items;
}

function oneOf<T extends string>(key: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new Error(`option "${key}" can't be "${value}": ${known.join(", ")}`);
  return found;
}
