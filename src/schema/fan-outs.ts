/** Fan-outs that descriptors tell of: the methods that protoc-gen-manifold has written, and what they stand for. */
import { type DescMethod, getOption, hasOption, type Registry } from "@bufbuild/protobuf";
import {
  type FanOutOf,
  fan_out_of,
  Layout,
  type MergeFields as MergeFieldsOption,
} from "../gen/manifold/v1/fanout_pb.ts";
import type { LayoutName } from "../layout/layouts.ts";
import { type MergeFields, siderolabs, talos } from "../layout/merge-fields.ts";
import type { MethodKind } from "./schema.ts";

/** A generated method, and the method that it calls on every endpoint. */
export interface FanOutMethod {
  /** What callers call: "acme.v1.NodeServiceFanOut/GetVersion". */
  readonly match: string;
  /** What is called on every endpoint: "acme.v1.NodeService/GetVersion". */
  readonly method: string;
  /** The kind of `method`. */
  readonly kind: MethodKind;
  readonly layout: LayoutName;
  /** For the layout `merge`, where the messages have other numbers. */
  readonly fields?: MergeFields;
  /** `method` is unary, and each reply is told as it comes. */
  readonly progressive: boolean;
}

/**
 * The fan-outs among the methods of an image.
 *
 * @throws Error for one that says nothing usable of itself
 */
export function fanOutsOf(types: Registry): FanOutMethod[] {
  const found: FanOutMethod[] = [];
  for (const type of types) {
    if (type.kind === "service") found.push(...type.methods.filter(isFanOut).map(fanOutOf));
  }
  return found;
}

/** Whether protoc-gen-manifold has written a method. */
export function isFanOut(method: DescMethod): boolean {
  return hasOption(method, fan_out_of);
}

/**
 * What a generated method stands for.
 *
 * @throws Error for one that says nothing usable of itself
 */
export function fanOutOf(of: DescMethod): FanOutMethod {
  const match = `${of.parent.typeName}/${of.name}`;
  const option: FanOutOf = getOption(of, fan_out_of);
  const layout = layoutNameOf(option.layout);
  if (layout === undefined || !/^[^/]+\/[^/]+$/.test(option.method)) {
    throw new Error(`the option (manifold.v1.fan_out_of) of ${match} names no method and layout that are known here`);
  }
  return {
    match,
    method: option.method,
    kind: option.progressive ? "unary" : of.methodKind,
    layout,
    ...(option.merge === undefined ? {} : { fields: mergeFieldsOf(option.merge) }),
    progressive: option.progressive,
  };
}

/** undefined for none, and for one that is of a later version. */
export function layoutNameOf(layout: Layout): LayoutName | undefined {
  if (layout === Layout.WRAP) return "wrap";
  if (layout === Layout.MERGE) return "merge";
  return layout === Layout.TALOS ? "talos" : undefined;
}

/** What the layouts `merge` and `talos` are, by themselves. */
export const fieldsOfLayout = { merge: siderolabs, talos } as const;

/** 0 stands for the default. */
export function mergeFieldsOf({ element, metadata, hostname, error, status }: MergeFieldsOption): MergeFields {
  return {
    element: element || siderolabs.element,
    metadata: metadata || siderolabs.metadata,
    hostname: hostname || siderolabs.hostname,
    error: error || siderolabs.error,
    ...(status === 0 ? {} : { status }),
  };
}
