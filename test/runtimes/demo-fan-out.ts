/** The demo's service as a caller of its fan-out has it: what protoc-gen-manifold would make of it, linked by hand. */
import { create, createFileRegistry, type DescFile, type DescService } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_duration,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { file_google_rpc_status } from "../../src/gen/google/rpc/status_pb.ts";
import { file_manifold_demo_v1_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { file_manifold_v1_fanout } from "../../src/gen/manifold/v1/fanout_pb.ts";
import { message } from "../layout/messages.ts";

const known: DescFile[] = [
  file_google_protobuf_duration,
  file_google_protobuf_wrappers,
  file_google_rpc_status,
  file_manifold_v1_fanout,
  file_manifold_demo_v1_demo,
];

const leg = (reply: string, type: string) =>
  message(`${reply}Leg`, { "manifold.v1.LegInfo info": 1, [`${type} reply`]: 2 });
const fanOut = (reply: string) => message(`${reply}FanOut`, { [`repeated test.${reply}Leg legs`]: 1 });
const demo = (name: string) => `manifold.demo.v1.${name}`;

function link(dependency: string[], parts: Parameters<typeof create<typeof FileDescriptorProtoSchema>>[1]) {
  const file = create(FileDescriptorProtoSchema, {
    name: "test/fan_out.proto",
    package: "test",
    syntax: "proto3",
    dependency,
    ...parts,
  });
  return createFileRegistry(file, (name) => known.find(({ proto }) => proto.name === name));
}

/**
 * Service test.Demo: all methods of the demo's, with the replies of layout `wrap`; and `GreetEach`, whose unary method's replies come as
 * a stream.
 */
export function demoFanOut(): DescService {
  const method = (name: string, output: string, clientStreaming: boolean, serverStreaming: boolean) => ({
    name,
    inputType: `.${demo(`${name.replace("Each", "")}Request`)}`,
    outputType: `.test.${output}`,
    clientStreaming,
    serverStreaming,
  });
  const legs = ["Greet", "CountDown", "Sum", "Chat"].map((name) => leg(name, demo(`${name}Response`)));
  const registry = link(["manifold/demo/v1/demo.proto", "manifold/v1/fanout.proto"], {
    messageType: [...legs, fanOut("Greet"), fanOut("Sum")],
    service: [
      {
        name: "Demo",
        method: [
          method("Greet", "GreetFanOut", false, false),
          method("GreetEach", "GreetFanOut", false, true),
          method("CountDown", "CountDownLeg", false, true),
          method("Sum", "SumFanOut", true, false),
          method("Chat", "ChatLeg", true, true),
        ],
      },
    ],
  });
  return registry.getService("test.Demo")!;
}
