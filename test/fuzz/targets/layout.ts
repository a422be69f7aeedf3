/** Fuzz: joining replies that are any bytes, beside protobuf-es: what was taken is the reply's, and says where it comes from. */
import assert from "node:assert/strict";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { ConnectError } from "@connectrpc/connect";
import type { Layout } from "../../../src/layout/layout.ts";
import { merge, mergeLayout, talosMerge } from "../../../src/layout/merge.ts";
import { type MergeFields, siderolabs, talos } from "../../../src/layout/merge-fields.ts";
import { wrap } from "../../../src/layout/wrap.ts";
import { decodeStatus } from "../../../src/wire/rpc-status.ts";
import { Input } from "../input.ts";

const backend = "node-1";
const leg = { backend, elapsedMs: 1.5 };
const layouts = [
  [merge, siderolabs, true],
  [talosMerge, talos, true],
  [mergeLayout({ keepNames: false, fields: talos }), talos, false],
] as const;

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const [layout, fields, keepNames] = layouts[input.byte() % layouts.length]!;
  const reply = new Uint8Array(input.rest());
  const copy = new Uint8Array(reply);
  const joined = annotated(layout, reply, false);
  const element = annotated(layout, reply, true);
  assert.deepEqual(reply, copy, "a reply isn't changed");
  if (joined !== undefined) checkReply(reply, joined, fields);
  if (element !== undefined) checkElement(reply, element, fields, keepNames);
  checkWrapped(reply);
}

function annotated(layout: Layout, reply: Uint8Array, stream: boolean): Uint8Array | undefined {
  try {
    return new Uint8Array(layout.annotate(leg, reply, stream));
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
    return undefined;
  }
}

/** As many elements as before, each of which says where it comes from. */
function checkReply(reply: Uint8Array, joined: Uint8Array, fields: MergeFields): void {
  const [before, after] = [topFields(reply), topFields(joined)];
  assert(before !== undefined && after !== undefined, "taken, though protobuf-es doesn't");
  if (before.length === 0) return assert.equal(after.length, 1);
  assert.deepEqual(
    after.map(([number]) => number),
    before.map(([number]) => number),
  );
  for (const [at, [, content]] of after.entries()) {
    const was: Uint8Array = before[at]![1];
    assert.deepEqual(content.subarray(0, was.length), was);
    assert.notEqual(hostnameOf(content, fields), undefined);
  }
}

function checkElement(element: Uint8Array, out: Uint8Array, fields: MergeFields, keepNames: boolean): void {
  assert.deepEqual(out.subarray(0, element.length), element);
  const [before, after] = [hostnameOf(element, fields), hostnameOf(out, fields)];
  assert.equal(after, keepNames && before !== undefined && before !== "" ? before : backend);
}

/** undefined where protobuf-es can't read it, or there is something else than messages. */
function topFields(bytes: Uint8Array): [number: number, content: Uint8Array][] | undefined {
  const fields: [number, Uint8Array][] = [];
  const reader = new BinaryReader(bytes);
  try {
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (type !== WireType.LengthDelimited) return undefined;
      fields.push([number, reader.bytes()]);
    }
  } catch {
    return undefined;
  }
  return fields;
}

/** The hostname within the metadata, by the rules of merging: of a message that comes twice the fields of both count. */
function hostnameOf(element: Uint8Array, fields: MergeFields): string | undefined {
  const metadata = lastOf(element, fields.metadata);
  const names = metadata.flatMap((bytes) => lastOf(bytes, fields.hostname).slice(-1));
  return names.length === 0 ? undefined : Buffer.from(names.at(-1)!).toString("utf8");
}

function lastOf(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === wanted && type === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(type, number);
  }
  return found;
}

function checkWrapped(reply: Uint8Array): void {
  const [[number, one] = [0, reply]] = topFields(new Uint8Array(wrap.annotate(leg, reply, false))) ?? [];
  assert.equal(number, 1);
  assert.deepEqual(one, new Uint8Array(wrap.annotate(leg, reply, true)));
  assert.deepEqual(topFields(one)?.at(-1), [2, reply]);
  const nested = { ...leg, nested: true };
  for (const stream of [false, true]) {
    try {
      assert.equal(wrap.annotate(nested, reply, stream), reply);
    } catch (error) {
      assert(error instanceof ConnectError, String(error));
    }
  }
  const status = { code: 14, message: Buffer.from(reply).toString("latin1"), details: [] };
  const [[, info] = [1, reply]] = topFields(new Uint8Array(wrap.fail(leg, status, true)!)) ?? [];
  assert.deepEqual(decodeStatus(lastOf(info, 2)[0]!), status);
}
