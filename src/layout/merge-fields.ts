/** The numbers of the fields that the layout `merge` writes, and the sets of them that are in use. */

/** Field numbers of messages such as `Reply { repeated Element element }`, `Element { Metadata metadata }`, `Metadata { string hostname, ... }`. */
export interface MergeFields {
  /** In the reply: where the elements of failed legs go, and of those that answered without any. */
  readonly element: number;
  /** In an element: its metadata, a message. */
  readonly metadata: number;
  /** In the metadata: the name of the endpoint, a string. */
  readonly hostname: number;
  /** In the metadata: the error of a failed leg as Go writes it, a string. */
  readonly error: number;
  /** In the metadata: the same as a google.rpc.Status, with its details. undefined: there is no such field. */
  readonly status?: number | undefined;
}

/** siderolabs/grpc-proxy: what its README and tests show. */
export const siderolabs: MergeFields = { element: 1, metadata: 99, hostname: 99, error: 100 };

/** Talos: common.Metadata. */
export const talos: MergeFields = { element: 1, metadata: 1, hostname: 1, error: 2, status: 3 };

/** The largest number a field may have. */
const maxField = 2 ** 29 - 1;

/** @throws RangeError for numbers that protobuf doesn't have, and for two fields of the metadata with one number */
export function checkMergeFields(fields: MergeFields): void {
  for (const [name, number] of Object.entries(fields)) {
    if (number === undefined) continue;
    if (!Number.isInteger(number) || number < 1 || number > maxField || (number >= 19_000 && number <= 19_999)) {
      throw new RangeError(`invalid field number ${number} for "${name}": 1 to ${maxField}, without 19000 to 19999`);
    }
  }
  const { hostname, error, status } = fields;
  if (hostname === error || hostname === status || error === status) {
    throw new RangeError(
      `hostname, error and status need numbers of their own, not ${[hostname, error, status].join(", ")}`,
    );
  }
}
