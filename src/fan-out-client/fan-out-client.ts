/** rpc-manifold/fan-out-client: what clients of fan-outs need, and the code that protoc-gen-manifold writes. Runs in browsers too. */
export { file_manifold_v1_fanout, type LegInfo, LegInfoSchema } from "../gen/manifold/v1/fanout_pb.ts";
export { type MergeFields, siderolabs, talos } from "../layout/merge-fields.ts";
export { type Answers, type ByBackend, byBackend, byBackendWith, type MergedReply } from "./by-backend.ts";
export { type Leg, legOf, legsOf, type WrappedLeg } from "./leg.ts";
export { mergedByBackend, type Origin, originOf } from "./merged.ts";
