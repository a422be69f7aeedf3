/** gRPC server reflection (grpc.reflection.v1) for the demo upstreams, so that grpcurl and buf curl need no schema. */
import { createRegistry, type DescFile, type MessageInitShape, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import {
  file_grpc_reflection_v1_reflection,
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";

type Question = ServerReflectionRequest["messageRequest"];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** What questions are answered from. */
interface Index {
  readonly types: Registry;
  /** By name, with ".proto"; imports included. */
  readonly files: ReadonlyMap<string, DescFile>;
}

/** Adds reflection of these files, of all they import, and of itself, to a router. */
export function addReflection(router: ConnectRouter, files: readonly DescFile[]): void {
  const withImports = [...files, file_grpc_reflection_v1_reflection].flatMap(withDependencies);
  const index: Index = {
    types: createRegistry(...withImports),
    files: new Map(withImports.map((file) => [file.proto.name, file])),
  };
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const messageResponse = answer(index, request.messageRequest);
        yield { validHost: request.host, originalRequest: request, messageResponse };
      }
    },
  });
}

function withDependencies(file: DescFile): DescFile[] {
  return [file, ...file.dependencies.flatMap(withDependencies)];
}

function answer(index: Index, question: Question): Answer {
  switch (question.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: services(index.types) } };
    case "fileByFilename":
      return fileAnswer(index.files.get(question.value), question.value);
    case "fileContainingSymbol":
      return fileAnswer(fileOfSymbol(index.types, question.value), question.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      const extension = extensionsOf(index.types, containingType).find((each) => each.number === extensionNumber);
      return fileAnswer(extension?.file, `${containingType} extension ${extensionNumber}`);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = extensionsOf(index.types, question.value).map((extension) => extension.number);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber } };
    }
    case undefined:
      return errorAnswer(Code.InvalidArgument, "the request asks nothing");
  }
}

function services(types: Registry): { name: string }[] {
  return [...types].filter((type) => type.kind === "service").map((service) => ({ name: service.typeName }));
}

function extensionsOf(types: Registry, extendee: string) {
  return [...types].filter((type) => type.kind === "extension").filter((type) => type.extendee.typeName === extendee);
}

/** A symbol is a type, or a method, a field or an enum's value: then what contains it counts. */
function fileOfSymbol(types: Registry, symbol: string): DescFile | undefined {
  return (types.get(symbol) ?? types.get(symbol.slice(0, Math.max(symbol.lastIndexOf("."), 0))))?.file;
}

/** The file and its imports, as grpc-go answers, so that a client need not ask for each. */
function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return errorAnswer(Code.NotFound, `not found: ${asked}`);
  const names = new Map(withDependencies(file).map((each) => [each.proto.name, each]));
  const fileDescriptorProto = [...names.values()].map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function errorAnswer(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
