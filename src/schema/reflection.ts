/** gRPC server reflection, asked as a client: all files of all services of an upstream. */
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { filesByName, missingImports } from "./files.ts";

/**
 * Makes one call to the upstream: sends the messages, ends the request, and gathers the replies. Rejects with the call's ConnectError,
 * `unimplemented` where there is no such method.
 *
 * @param path of a bidirectional method; each message is answered by one
 */
export type ReflectionCall = (
  path: string,
  messages: readonly Uint8Array[],
  limits: ReflectionLimits,
) => Promise<readonly Uint8Array[]>;

/** What an upstream may take of us for one call. */
export interface ReflectionLimits {
  readonly timeoutMs: number;
  /** Of all replies together. */
  readonly maxBytes: number;
}

/** The same messages under two names; the older is all that many servers have. */
const versions = [
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/** Imports of imports, one call each; servers that send a file with all it imports need none. */
const maxRounds = 32;

const defaultLimits: ReflectionLimits = { timeoutMs: 10_000, maxBytes: 64 << 20 };

type Question = ServerReflectionRequest["messageRequest"];
type Answer = ServerReflectionResponse["messageResponse"];

/**
 * Asks for everything: the services, the file of each, and what these import. Services and files that the server names but doesn't
 * have are left out, as is usual.
 *
 * @returns files by name, not linked
 * @throws ConnectError `unimplemented` if the upstream has no reflection, that of a call that failed, or `internal` for nonsense
 */
export async function fetchFiles(
  call: ReflectionCall,
  limits: ReflectionLimits = defaultLimits,
): Promise<Map<string, FileDescriptorProto>> {
  const { services, ask } = await listServices(call, limits);
  const files = filesByName(filesIn(await ask(services.map((value) => ({ case: "fileContainingSymbol", value })))));
  const asked = new Set<string>();
  for (let round = 0; round < maxRounds; round++) {
    const missing = missingImports(files).filter((name) => !asked.has(name));
    if (missing.length === 0) break;
    for (const name of missing) asked.add(name);
    const found = filesIn(await ask(missing.map((value) => ({ case: "fileByFilename", value }))));
    for (const file of found) if (!files.has(file.name)) files.set(file.name, file);
  }
  return files;
}

type Ask = (questions: readonly Question[]) => Promise<Answer[]>;

/** The first question finds the version, too. */
async function listServices(call: ReflectionCall, limits: ReflectionLimits): Promise<{ services: string[]; ask: Ask }> {
  for (const path of versions) {
    const ask: Ask = (questions) => askAll(call, { path, questions, limits });
    try {
      const [list] = await ask([{ case: "listServices", value: "*" }]);
      if (list?.case !== "listServicesResponse") throw nonsense("listed no services");
      return { services: list.value.service.map(({ name }) => name), ask };
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unimplemented) throw error;
    }
  }
  throw new ConnectError('upstream has no gRPC reflection; give "schema: { image: FILE }" instead', Code.Unimplemented);
}

interface Questions {
  readonly path: string;
  readonly questions: readonly Question[];
  readonly limits: ReflectionLimits;
}

async function askAll(call: ReflectionCall, { path, questions, limits }: Questions): Promise<Answer[]> {
  if (questions.length === 0) return [];
  const requests = questions.map((messageRequest) =>
    toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { messageRequest })),
  );
  const replies = await call(path, requests, limits);
  if (replies.length < requests.length) {
    throw nonsense(`answered ${replies.length} of ${requests.length} questions`);
  }
  return replies.map((bytes) => parse(ServerReflectionResponseSchema, bytes).messageResponse);
}

/** Answers that are errors have no files. */
function filesIn(answers: readonly Answer[]): FileDescriptorProto[] {
  return answers.flatMap((answer) => {
    if (answer.case !== "fileDescriptorResponse") return [];
    return answer.value.fileDescriptorProto.map((bytes) => parse(FileDescriptorProtoSchema, bytes));
  });
}

function parse<Desc extends DescMessage>(type: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(type, bytes);
  } catch (error) {
    throw nonsense(`sent a broken ${type.name}`, error);
  }
}

function nonsense(what: string, cause?: unknown): ConnectError {
  return new ConnectError(`upstream's gRPC reflection ${what}`, Code.Internal, undefined, undefined, cause);
}
