/** The routes of a file's fan-outs, for the configuration of the proxy. */
import type { DescFile } from "@bufbuild/protobuf";
import type { MergeFields } from "../layout/merge-fields.ts";
import type { FanOutMethod } from "../schema/fan-outs.ts";
import { fanOutOf, isFanOut } from "../schema/fan-outs.ts";

/**
 * Writes routes in YAML, one for each method.
 *
 * @param to names of upstreams; none where that is said where the file is included
 * @param head what stands at the top, lines without a comment's mark
 */
export function routesTextOf(file: DescFile, to: readonly string[], head: string): string {
  const methods = file.services.flatMap((service) => service.methods.filter(isFanOut).map(fanOutOf));
  const comment = head.split("\n").map((line) => `#${line}\n`);
  return `${comment.join("")}routes:\n${methods.map((method) => routeText(method, to)).join("")}`;
}

function routeText({ match, method, kind, layout, fields, progressive }: FanOutMethod, to: readonly string[]): string {
  const lines = [
    `  - match: { method: ${match} }\n`,
    "    fan_out:\n",
    ...(to.length === 0 ? [] : [`      to: [${to.map(scalar).join(", ")}]\n`]),
    `      layout: ${fields === undefined ? layout : `{ merge: ${mapText(fields)} }`}\n`,
    `      method: ${method}\n`,
    `      kind: ${kind}\n`,
    ...(progressive ? ["      progressive: true\n"] : []),
  ];
  return lines.join("");
}

function mapText(fields: MergeFields): string {
  return `{ ${Object.entries(fields)
    .map(([name, number]) => `${name}: ${number}`)
    .join(", ")} }`;
}

/** Names of upstreams may be anything: in quotes unless they are plainly words. */
function scalar(text: string): string {
  return /^[a-zA-Z][a-zA-Z0-9_-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : JSON.stringify(text);
}
