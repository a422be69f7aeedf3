/** Schema: the messages and the kind of each method, for what can't be done with opaque bytes. */
import type { DescMessage, DescMethod, Registry } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

export type MethodKind = "unary" | "server_streaming" | "client_streaming" | "bidi_streaming";

/** What descriptors say of a method. */
export interface MethodSchema {
  readonly path: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
  readonly kind: MethodKind;
  /** `idempotency_level = NO_SIDE_EFFECTS`: Connect allows GET for it. */
  readonly idempotent: boolean;
  /** All types of the schema: what may be in a google.protobuf.Any. */
  readonly types: Registry;
}

/** Where descriptors come from. */
export interface Schema {
  /**
   * Looks a method up. At once where it is known; otherwise perhaps after the schema was asked for.
   *
   * @param path "/acme.users.v1.UserService/Get"
   * @returns undefined for a method that isn't in the schema; a promise rejects with a ConnectError if none could be had
   */
  method(path: string): MethodSchema | undefined | Promise<MethodSchema | undefined>;
  /** All methods, where they are known without asking. */
  methods?(): Iterable<MethodSchema>;
}

/** The methods of all services of a registry, by their paths. */
export function methodsOf(types: Registry): Map<string, MethodSchema> {
  const methods = new Map<string, MethodSchema>();
  for (const type of types) {
    if (type.kind !== "service") continue;
    for (const method of type.methods) methods.set(pathOf(method), methodSchema(method, types));
  }
  return methods;
}

function methodSchema(method: DescMethod, types: Registry): MethodSchema {
  const { input, output, methodKind, idempotency } = method;
  return { path: pathOf(method), input, output, kind: methodKind, idempotent: idempotency === noSideEffects, types };
}

/** MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS */
const noSideEffects = 1;

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** The answer to a call in a codec that its upstream doesn't speak, where there is no schema to turn one into the other. */
export function schemaNeeded(path: string, codec: string): ConnectError {
  const message =
    `"${path}" was called with ${codec}, which its upstream doesn't speak; to have it translated, give the upstream a schema: ` +
    '"schema: { image: FILE }" (from buf build -o FILE), or "schema: reflection"';
  return new ConnectError(message, Code.Unimplemented);
}

/** The same, where there is a schema that doesn't know the method. */
export function methodUnknown(path: string): ConnectError {
  return new ConnectError(`no method "${path}" in the schema of its upstream`, Code.Unimplemented);
}
