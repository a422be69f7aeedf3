import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { addReflection } from "../../src/cli/demo/reflection.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { file_manifold_demo_v1_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { linkFiles, linkWhatCanBe } from "../../src/schema/files.ts";
import { fetchFiles, type ReflectionCall } from "../../src/schema/reflection.ts";
import { methodsOf } from "../../src/schema/schema.ts";
import { file, message, method, service, things, thingsService } from "./descriptors.ts";

const v1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const v1alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** A server of these files, which sends each alone: who wants its imports must ask. */
function serverOf(files: readonly FileDescriptorProto[], more: { services?: string[] } = {}) {
  const asked: string[] = [];
  const calls: string[] = [];
  const services = files.flatMap((each) => each.service.map(({ name }) => `${each.package}.${name}`));
  const sent = (found: FileDescriptorProto | undefined): Answer =>
    found === undefined
      ? { case: "errorResponse", value: { errorCode: 5, errorMessage: "not found" } }
      : {
          case: "fileDescriptorResponse",
          value: { fileDescriptorProto: [toBinary(FileDescriptorProtoSchema, found)] },
        };
  const answer = ({ case: kind, value }: ServerReflectionRequest["messageRequest"]): Answer => {
    asked.push(`${kind} ${value}`);
    if (kind === "listServices") {
      const all = [...services, ...(more.services ?? [])];
      return { case: "listServicesResponse", value: { service: all.map((name) => ({ name })) } };
    }
    if (kind === "fileByFilename") return sent(files.find(({ name }) => name === value));
    return sent(files.find((each) => each.service.some(({ name }) => `${each.package}.${name}` === value)));
  };
  const call: ReflectionCall = async (path, messages) => {
    calls.push(path);
    return messages.map((bytes) => {
      const messageResponse = answer(fromBinary(ServerReflectionRequestSchema, bytes).messageRequest);
      return toBinary(ServerReflectionResponseSchema, create(ServerReflectionResponseSchema, { messageResponse }));
    });
  };
  return { call, asked, calls };
}

/** The same through a server of Connect's, which speaks v1. */
function throughTransport(transport: Transport): ReflectionCall {
  return async (path, messages) => {
    expect(path).toBe(v1);
    async function* requests() {
      for (const bytes of messages) yield fromBinary(ServerReflectionRequestSchema, bytes);
    }
    const { serverReflectionInfo } = ServerReflection.method;
    const response = await transport.stream(serverReflectionInfo, undefined, 1000, undefined, requests());
    const replies: Uint8Array[] = [];
    for await (const reply of response.message) replies.push(toBinary(ServerReflectionResponseSchema, reply));
    return replies;
  };
}

async function codeOf(promise: Promise<unknown>): Promise<Code> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConnectError);
  return (error as ConnectError).code;
}

describe("fetchFiles()", () => {
  it("gets the file of each service from a server that sends imports along", async () => {
    const transport = createRouterTransport((router) => addReflection(router, [file_manifold_demo_v1_demo]));
    const methods = methodsOf(linkFiles(await fetchFiles(throughTransport(transport))));
    expect([...methods.keys()]).toContain(v1);
    expect([...methods.keys()].some((path) => path.startsWith("/manifold.demo.v1."))).toBe(true);
  });

  it("asks for imports where they were not sent, and for each once", async () => {
    const { call, asked } = serverOf([things, thingsService]);
    const files = await fetchFiles(call);
    expect([...files.keys()]).toEqual(["acme/v1/service.proto", "acme/v1/things.proto"]);
    expect(asked).toEqual([
      "listServices *",
      "fileContainingSymbol acme.v1.Things",
      "fileByFilename acme/v1/things.proto",
    ]);
    expect(methodsOf(linkFiles(files)).size).toBe(4);
  });

  it("leaves out services and imports that the server doesn't have", async () => {
    const needy = file("needy.proto", {
      package: "needy",
      dependency: ["google/api/annotations.proto"],
      messageType: [message("In", {})],
      service: [service("S", method("M", "needy.In -> needy.In"))],
    });
    const { call, asked } = serverOf([needy], { services: ["grpc.health.v1.Health"] });
    const files = await fetchFiles(call);
    expect([...files.keys()]).toEqual(["needy.proto"]);
    expect(asked.filter((question) => question.includes("annotations"))).toHaveLength(1);
    expect([...methodsOf(linkWhatCanBe(files)).keys()]).toEqual(["/needy.S/M"]);
  });

  it("falls back to v1alpha, and stays with it", async () => {
    const server = serverOf([things, thingsService]);
    const files = await fetchFiles(async (path, ...rest) => {
      if (path === v1) throw new ConnectError("unknown service", Code.Unimplemented);
      return server.call(path, ...rest);
    });
    expect(files.size).toBe(2);
    expect(new Set(server.calls)).toEqual(new Set([v1alpha]));
  });

  it("is unimplemented where there is neither", async () => {
    const asked: string[] = [];
    const call: ReflectionCall = async (path) => {
      asked.push(path);
      throw new ConnectError("unknown service", Code.Unimplemented);
    };
    const promise = fetchFiles(call);
    expect(await codeOf(promise)).toBe(Code.Unimplemented);
    await expect(promise).rejects.toThrow("image");
    expect(asked).toEqual([v1, v1alpha]);
  });

  it("passes on any other failure, and asks no further", async () => {
    let calls = 0;
    const call: ReflectionCall = async () => {
      calls++;
      throw new ConnectError("nobody there", Code.Unavailable);
    };
    expect(await codeOf(fetchFiles(call))).toBe(Code.Unavailable);
    expect(calls).toBe(1);
  });

  it.each<[string, Uint8Array[]]>([
    ["nothing", []],
    ["bytes that are no message", [Uint8Array.of(0x0b)]],
    ["no list", [new Uint8Array(0)]],
  ])("calls an answer of %s internal", async (_what, replies) => {
    expect(await codeOf(fetchFiles(async () => replies))).toBe(Code.Internal);
  });

  it("ends, whatever chain of imports it is led along", async () => {
    let calls = 0;
    const call: ReflectionCall = async (_path, messages) => {
      calls++;
      return messages.map((bytes) => {
        const { case: kind } = fromBinary(ServerReflectionRequestSchema, bytes).messageRequest;
        const next = file(`${calls}.proto`, { dependency: [`${calls + 1}.proto`] });
        const messageResponse: Answer =
          kind === "listServices"
            ? { case: "listServicesResponse", value: { service: [{ name: "a.S" }] } }
            : {
                case: "fileDescriptorResponse",
                value: { fileDescriptorProto: [toBinary(FileDescriptorProtoSchema, next)] },
              };
        return toBinary(ServerReflectionResponseSchema, create(ServerReflectionResponseSchema, { messageResponse }));
      });
    };
    await fetchFiles(call);
    expect(calls).toBeLessThan(50);
  });
});

describe("linkWhatCanBe()", () => {
  it("keeps the services that can be linked", () => {
    const broken = file("broken.proto", {
      package: "broken",
      service: [service("S", method("M", "broken.In -> broken.In"))],
    });
    const files = new Map([broken, things, thingsService].map((each) => [each.name, each]));
    expect([...methodsOf(linkWhatCanBe(files)).keys()]).toContain("/acme.v1.Things/Get");
    expect(() => linkWhatCanBe(new Map([[broken.name, broken]]))).toThrow("broken.In");
  });
});
