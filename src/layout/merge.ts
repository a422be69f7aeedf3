/**
 * Layout `merge`: upstreams answer with messages of repeated messages, and each element says where it comes from. The bytes are those of
 * siderolabs/grpc-proxy's examples and of Talos' apid, without their faults: replies may have any number of elements.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeStatus, type RpcStatus } from "../wire/rpc-status.ts";
import { Malformed } from "./cursor.ts";
import { goErrorText } from "./go-error.ts";
import type { Layout } from "./layout.ts";
import { checkMergeFields, type MergeFields, siderolabs, talos } from "./merge-fields.ts";
import { rememberedByName } from "./remembered.ts";
import { ReplyReader } from "./reply-reader.ts";
import { concat, fieldOf } from "./writing.ts";

export interface MergeOptions {
  /** Default "merge". */
  readonly name?: string;
  /** Default `siderolabs`, field by field. */
  readonly fields?: Partial<MergeFields>;
  /**
   * What becomes of an element that has a hostname already. True (default): it is kept, so that a Manifold in front of Manifolds tells the
   * innermost names. False: the endpoint's name is put in its place, as grpc-proxy does; for endpoints that must not speak for others.
   */
  readonly keepNames?: boolean;
}

/**
 * Makes a layout of messages such as
 * `Reply { repeated Element response = 1; }`, `Element { Metadata metadata = 99; ... }`, `Metadata { string hostname = 99; string upstream_error = 100; }`.
 *
 * - Metadata with the endpoint's name is appended to every element of every top-level field. In a stream a message is an element itself.
 * - A reply without any element becomes one that has only metadata, and no error in it: nothing is left out of a joined reply.
 * - A failed leg is an element that has only metadata, with the name and the error.
 * - A reply with anything else than messages at its top is refused, and so becomes a failed leg.
 *
 * @throws RangeError for field numbers that can't be
 */
export function mergeLayout(options: MergeOptions = {}): Layout {
  const { name = "merge", keepNames = true } = options;
  const fields = { ...siderolabs, ...options.fields };
  checkMergeFields(fields);
  const annotation = rememberedByName((backend) => metadataOf(fields, [[fields.hostname, utf8.encode(backend)]]));
  const empty = rememberedByName((backend) => fieldOf(fields.element, annotation(backend)));
  const reader = new ReplyReader(fields, keepNames);
  return {
    name,
    annotate({ backend }, reply, stream) {
      try {
        if (stream) return reader.annotateElement(reply, annotation(backend));
        return reply.length === 0 ? empty(backend) : reader.annotateReply(reply, annotation(backend));
      } catch (error) {
        throw refused(name, error);
      }
    },
    fail({ backend }, status, stream) {
      const element = metadataOf(fields, errorParts(fields, backend, status));
      return stream ? element : fieldOf(fields.element, element);
    },
  };
}

/** The layout of siderolabs/grpc-proxy's examples: metadata 99, hostname 99, upstream_error 100, element 1. */
export const merge: Layout = mergeLayout();

/** The layout of Talos' apid: metadata 1, hostname 1, error 2, status 3, element 1. */
export const talosMerge: Layout = mergeLayout({ name: "talos", fields: talos });

const utf8 = new TextEncoder();

type Part = readonly [field: number, value: Uint8Array];

/** What is appended to an element: its metadata field. The parts are in the order of their numbers, as Go writes them. */
function metadataOf(fields: MergeFields, parts: Part[]): Uint8Array {
  const ordered = parts.sort(([one], [other]) => one - other);
  return fieldOf(fields.metadata, concat(ordered.map(([field, value]) => fieldOf(field, value))));
}

function errorParts(fields: MergeFields, backend: string, status: RpcStatus): Part[] {
  const parts: Part[] = [
    [fields.hostname, utf8.encode(backend)],
    [fields.error, utf8.encode(goErrorText(status.code, status.message))],
  ];
  if (fields.status !== undefined) parts.push([fields.status, encodeStatus(status)]);
  return parts;
}

function refused(layout: string, error: unknown): unknown {
  if (!(error instanceof Malformed)) return error;
  const message = `the reply is not of the layout "${layout}": ${error.message}`;
  return new ConnectError(message, Code.Internal, undefined, undefined, error);
}
