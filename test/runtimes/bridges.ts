/** The stage of a fault that has to be survived on every way through: one upstream of each protocol, and callers of all forms. */
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "vitest";
import { file_manifold_demo_v1_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import type { Caller, Protocol } from "../support/callers.ts";
import { type ProtocolUpstream, replyWith, startProtocolUpstream } from "../support/protocol-upstreams.ts";
import type { UpstreamOptions } from "../support/upstream.ts";
import { type Stage, type StageOptions, setStage } from "./stage.ts";

export const upstreamProtocols: readonly Protocol[] = ["grpc", "connect", "grpc_web"];

export interface Bridges {
  stage: Stage;
  upstreams: Record<Protocol, ProtocolUpstream>;
  /** Every upstream answers with one message again, and has seen no call. */
  reset(): void;
  close(): Promise<void>;
}

/** What the upstream that speaks gRPC reads in protobuf, and callers may write in JSON. */
export const jsonPath = "/manifold.demo.v1.DemoService/Greet";
export const jsonStreamPath = "/manifold.demo.v1.DemoService/Chat";

/** Starts them; `path` tells which upstream a call goes to. @param http2 for the upstream that speaks gRPC */
export async function setBridges(more: StageOptions & { http2?: UpstreamOptions } = {}): Promise<Bridges> {
  const [grpc, connect, grpcWeb] = await Promise.all([
    startProtocolUpstream("grpc", more.http2),
    startProtocolUpstream("connect"),
    startProtocolUpstream("grpc_web"),
  ]);
  const upstreams = { grpc, connect, grpc_web: grpcWeb };
  const all = Object.values(upstreams);
  const stage = await setStage(grpc.config.endpoints, {
    ...more,
    upstreams: {
      connect: connect.config,
      grpc_web: grpcWeb.config,
      json: { ...grpc.config, schema: { image: "api.binpb" } },
      ...more.upstreams,
    },
    files: { "api.binpb": image, ...more.files },
    routes: [
      ...(more.routes ?? []),
      { match: { service: serviceOf("connect") }, to: "connect" },
      { match: { service: serviceOf("grpc_web") }, to: "grpc_web" },
      { match: { service: "manifold.demo.v1.DemoService" }, to: "json" },
    ],
  });
  return {
    stage,
    upstreams,
    reset() {
      for (const upstream of all) {
        upstream.answer = replyWith({});
        upstream.calls.length = 0;
      }
    },
    async close() {
      await stage.close();
      for (const upstream of all) await upstream.close();
      expect(all.flatMap(({ malformed }) => malformed)).toEqual([]);
    },
  };
}

const image = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, { file: [file_manifold_demo_v1_demo.proto] }),
);

export function serviceOf(protocol: Protocol): string {
  return `manifold.test.${protocol}.Service`;
}

/** A method of the upstream that speaks this. Unary and streams of different names: what Connect's are is learnt. */
export function pathTo(protocol: Protocol, method = "Get"): string {
  return `/${serviceOf(protocol)}/${method}`;
}

/** A method that isn't known yet to be unary or a stream. */
export function methodOf(caller: Caller): string {
  return caller.form === "connect stream" ? "Stream" : "Unary";
}

/** The call passes as it is, so that the upstream's own words reach the caller. */
export function isVerbatim(caller: Caller, protocol: Protocol): boolean {
  return caller.protocol === protocol;
}
