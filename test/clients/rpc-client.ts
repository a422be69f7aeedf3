/** What the checks of clients.test.ts need of a client written in JavaScript: four kinds of call, and all that came back. */
import { create, createFileRegistry, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type BytesValue,
  BytesValueSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

export type Method = "Unary" | "ServerStream" | "ClientStream" | "Bidi";

export interface CallOptions {
  /** Binary values (names that end in -bin) are unpadded base64, as on the wire. */
  headers?: readonly (readonly [name: string, value: string])[];
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Told each reply as it comes. */
  onReply?: (reply: Uint8Array) => void;
}

/** A call that ended with status 0. */
export interface Reply {
  replies: Uint8Array[];
  header(name: string): string[];
  trailer(name: string): string[];
}

/** A call that ended with another status. */
export class RpcFailure extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface RpcClient {
  /** @throws RpcFailure */
  call(method: Method, requests: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<Reply>;
  close(): void;
}

export interface ClientTarget {
  port: number;
  /** Trusted for TLS; absent: cleartext. */
  ca?: string;
}

export const servicePath = "/manifold.test.v1.Test/";

/** The service that test/go/backend serves: all messages are google.protobuf.BytesValue. */
export function testService(): DescService {
  const kinds: [Method, boolean, boolean][] = [
    ["Unary", false, false],
    ["ServerStream", false, true],
    ["ClientStream", true, false],
    ["Bidi", true, true],
  ];
  const inputType = ".google.protobuf.BytesValue";
  const file = create(FileDescriptorProtoSchema, {
    name: "manifold/test/v1/test.proto",
    package: "manifold.test.v1",
    syntax: "proto3",
    dependency: [file_google_protobuf_wrappers.proto.name],
    service: [
      {
        name: "Test",
        method: kinds.map(([name, clientStreaming, serverStreaming]) => {
          return { name, inputType, outputType: inputType, clientStreaming, serverStreaming };
        }),
      },
    ],
  });
  const registry = createFileRegistry(file, () => file_google_protobuf_wrappers);
  return registry.getService("manifold.test.v1.Test")!;
}

export function encode(value: Uint8Array): Uint8Array {
  return toBinary(BytesValueSchema, create(BytesValueSchema, { value }));
}

export function decode(bytes: Uint8Array): Uint8Array {
  return (fromBinary(BytesValueSchema, bytes) as BytesValue).value;
}
