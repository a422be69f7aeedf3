/**
 * Layout `wrap`: replies of unmodified upstreams, each within a message that says where it comes from. Read by messages that
 * protoc-gen-manifold makes: `FanOut { repeated Leg legs = 1; }`, `Leg { manifold.v1.LegInfo info = 1; Reply reply = 2; }`.
 * @see proto/manifold/v1/fanout.proto for LegInfo
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeStatus } from "../wire/rpc-status.ts";
import { Cursor, Malformed } from "./cursor.ts";
import type { Layout, LegInfo } from "./layout.ts";
import { rememberedByName } from "./remembered.ts";
import { allocate, copy, fieldOf, tagOf, varintSize, writeVarint } from "./writing.ts";

/** FanOut.legs, Leg.info, LegInfo.backend: each is field 1. */
const first = tagOf(1);

/** Leg.reply and LegInfo.status: field 2. */
const second = tagOf(2);

/** LegInfo.elapsed. */
const elapsedTag = tagOf(3);

/**
 * Puts the reply of each leg behind its name and the time it took. In a unary reply a part is `FanOut` with one leg; in a stream it is a
 * `Leg`. A failed leg has a status and no reply. A reply that is joined already (`leg.nested`) is passed as it is.
 */
export const wrap: Layout = {
  name: "wrap",
  annotate(leg, reply, stream) {
    if (leg.nested) return checkNested(reply, stream);
    return part(leg, stream, { tail: reply });
  },
  fail(leg, status, stream) {
    return part(leg, stream, { status: encodeStatus(status) });
  },
};

const utf8 = new TextEncoder();
const nameField = rememberedByName((backend) => fieldOf(1, utf8.encode(backend)));

interface Content {
  readonly status?: Uint8Array;
  /** The reply. An empty one is a reply too. */
  readonly tail?: Uint8Array;
}

function part(leg: LegInfo, stream: boolean, { status, tail }: Content): Uint8Array {
  const name = nameField(leg.backend);
  const micros = Math.max(Math.round(leg.elapsedMs * 1000), 0) || 0;
  const seconds = Math.floor(micros / 1e6);
  const nanos = (micros % 1e6) * 1000;
  const duration = (seconds === 0 ? 0 : 1 + varintSize(seconds)) + (nanos === 0 ? 0 : 1 + varintSize(nanos));
  const info = name.length + (status === undefined ? 0 : sizeOf(status.length)) + sizeOf(duration);
  const size = sizeOf(info) + (tail === undefined ? 0 : sizeOf(tail.length));
  const out = allocate(stream ? size : sizeOf(size));
  let at = stream ? 0 : writeHead(out, 0, first, size);
  at = writeHead(out, at, first, info);
  at = copy(out, at, name, 0, name.length);
  if (status !== undefined) at = copy(out, writeHead(out, at, second, status.length), status, 0, status.length);
  at = writeHead(out, at, elapsedTag, duration);
  if (seconds !== 0) at = writeVarint(out, writeVarint(out, at, durationSeconds), seconds);
  if (nanos !== 0) at = writeVarint(out, writeVarint(out, at, durationNanos), nanos);
  if (tail !== undefined) copy(out, writeHead(out, at, second, tail.length), tail, 0, tail.length);
  return out;
}

/** Tags of google.protobuf.Duration, both varints. */
const durationSeconds = 0x08;
const durationNanos = 0x10;

/** The bytes of a field with its tag, which is one byte here, and its length. */
function sizeOf(length: number): number {
  return 1 + varintSize(length) + length;
}

function writeHead(out: Uint8Array, at: number, tag: number, length: number): number {
  out[at] = tag;
  return writeVarint(out, at + 1, length);
}

const cursor = new Cursor();

/** A joined reply has a leg and nothing else than legs, each with its name. */
function checkNested(reply: Uint8Array, stream: boolean): Uint8Array {
  try {
    if (stream) checkLeg(reply, 0, reply.length);
    else checkLegs(reply);
    return reply;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const message = `the reply is not of the layout "wrap", though it is said to be: ${error.message}`;
    throw new ConnectError(message, Code.Internal, undefined, undefined, error);
  }
}

function checkLegs(reply: Uint8Array): void {
  if (reply.length === 0) throw new Malformed("it has no legs");
  for (let at = 0; at < reply.length; ) {
    cursor.enter(reply, at, reply.length);
    expectTag(cursor.tag(), "a leg");
    const end = cursor.length() + cursor.at;
    checkLeg(reply, cursor.at, end);
    at = end;
  }
}

function checkLeg(bytes: Uint8Array, start: number, end: number): void {
  cursor.enter(bytes, start, end);
  expectTag(cursor.tag(), "the info of a leg");
  const infoEnd = cursor.length() + cursor.at;
  cursor.enter(bytes, cursor.at, infoEnd);
  expectTag(cursor.tag(), "the name of a leg");
  if (cursor.length() === 0) throw new Malformed("a leg has no name");
}

function expectTag(tag: number, what: string): void {
  if (tag !== first) throw new Malformed(`field ${tag >>> 3} is where ${what} must be`);
}
