/** The plan: which methods become fan-outs, under which names, and whether they can. */
import { type DescFile, type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { type FanOut, fan_out, fan_out_all, Layout } from "../gen/manifold/v1/fanout_pb.ts";
import type { LayoutName } from "../layout/layouts.ts";
import { checkMergeFields, type MergeFields } from "../layout/merge-fields.ts";
import { mergeProblems } from "../layout/merge-shape.ts";
import { fieldsOfLayout, isFanOut, layoutNameOf, mergeFieldsOf } from "../schema/fan-outs.ts";
import type { Names } from "./names.ts";
import type { Options } from "./options.ts";
import { problemAt } from "./problem.ts";

/** What is made of one file of the source. */
export interface FilePlan {
  readonly source: DescFile;
  /** "acme/v1/node_fanout": without an extension. */
  readonly name: string;
  readonly services: readonly ServicePlan[];
}

export interface ServicePlan {
  readonly source: DescService;
  /** "NodeServiceFanOut". */
  readonly name: string;
  readonly methods: readonly MethodPlan[];
}

export interface MethodPlan {
  readonly source: DescMethod;
  readonly layout: LayoutName;
  /** For `merge` and `talos`: where the metadata goes. */
  readonly fields?: MergeFields;
  /** The fields are not those that the layout's name stands for. */
  readonly ownFields: boolean;
  /** "GetVersionProgressive", for unary methods. */
  readonly progressive?: string;
  /** For `wrap`: the messages that are made. */
  readonly messages?: WrapMessages;
}

export interface WrapMessages {
  /** "GetVersionLeg". */
  readonly leg: string;
  /** "GetVersionFanOut"; a method that answers with a stream has legs alone. */
  readonly fanOut?: string;
}

/** What a plan is made with. */
export interface Planning {
  readonly options: Options;
  readonly names: Names;
  /** Problems with the source are added to these, with their places. */
  readonly problems: string[];
}

/** The plan for a file; undefined where it has nothing to fan out. */
export function planFile(source: DescFile, planning: Planning): FilePlan | undefined {
  const services = source.services.flatMap((service) => planService(service, planning) ?? []);
  return services.length === 0 ? undefined : { source, name: fanOutFileOf(source.name), services };
}

/** "acme/v1/node" -> "acme/v1/node_fanout". */
export function fanOutFileOf(name: string): string {
  return `${name}_fanout`;
}

function planService(source: DescService, planning: Planning): ServicePlan | undefined {
  const wanted = source.methods.filter((method) => !isFanOut(method) && isWanted(method, planning.options));
  if (wanted.length === 0) return undefined;
  const name = `${source.name}FanOut`;
  if (!planning.names.take(name)) {
    planning.problems.push(problemAt(source, `"${name}", the name of its fan-out, is taken`));
  }
  return { source, name, methods: wanted.map((method) => planMethod(method, planning)) };
}

function isWanted(method: DescMethod, { all }: Options): boolean {
  const marked = all || hasOption(method, fan_out) || hasOption(method.parent, fan_out_all);
  return marked && !optionOf(method).none;
}

/** The method's own mark, else its service's. */
function optionOf(method: DescMethod): FanOut {
  return hasOption(method, fan_out) ? getOption(method, fan_out) : getOption(method.parent, fan_out_all);
}

function planMethod(source: DescMethod, planning: Planning): MethodPlan {
  const { layout: marked, merge } = optionOf(source);
  const layout = layoutNameOf(marked) ?? planning.options.layout;
  if (marked !== Layout.UNSPECIFIED && layoutNameOf(marked) === undefined) {
    planning.problems.push(problemAt(source, `layout ${marked} is not known to this version`));
  }
  const progressive = source.methodKind === "unary" ? progressiveName(source, planning) : undefined;
  const common = { source, layout, ...(progressive === undefined ? {} : { progressive }) };
  if (layout === "wrap") {
    if (merge !== undefined)
      planning.problems.push(problemAt(source, 'fields of "merge" are of no use to the layout "wrap"'));
    return { ...common, ownFields: false, messages: wrapMessages(source, planning.names) };
  }
  const fields = merge === undefined ? fieldsOfLayout[layout] : mergeFieldsOf(merge);
  checkMerge(source, layout, fields, planning);
  return { ...common, layout: merge === undefined ? layout : "merge", fields, ownFields: merge !== undefined };
}

function progressiveName({ name, parent }: DescMethod, planning: Planning): string {
  const progressive = `${name}Progressive`;
  const taken = parent.methods.find((other) => other.name === progressive);
  if (taken !== undefined) {
    planning.problems.push(problemAt(taken, `"${progressive}" is the name of the progressive fan-out of "${name}"`));
  }
  return progressive;
}

/**
 * "GetVersionFanOut" and "GetVersionLeg", or where the package has one of these "NodeServiceGetVersionFanOut" and so on: the first
 * service keeps the short names.
 */
function wrapMessages(method: DescMethod, names: Names): WrapMessages {
  const { name, parent } = method;
  const streams = answersWithStream(method);
  for (let prefix = ""; ; prefix = `${parent.name}${prefix}`) {
    const [leg, fanOut] = [`${prefix}${name}Leg`, `${prefix}${name}FanOut`];
    if (streams ? names.take(leg) : names.take(leg, fanOut)) return streams ? { leg } : { leg, fanOut };
  }
}

function checkMerge(method: DescMethod, layout: LayoutName, fields: MergeFields, { problems }: Planning): void {
  try {
    checkMergeFields(fields);
  } catch (error) {
    problems.push(problemAt(method, (error as Error).message));
    return;
  }
  for (const { where, message } of mergeProblems(method.output, answersWithStream(method), fields)) {
    problems.push(problemAt(where, `${message} (layout "${layout}" of ${method.parent.typeName}/${method.name})`));
  }
}

function answersWithStream({ methodKind }: DescMethod): boolean {
  return methodKind === "server_streaming" || methodKind === "bidi_streaming";
}
