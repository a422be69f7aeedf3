/** Fuzz: an HTTP/2 connection in the client's role, with some requests under way, fed with any bytes as the server's. */
import assert from "node:assert/strict";
import { Http2Connection } from "../../../src/http2/connection.ts";
import { Field } from "../../../src/http2/field.ts";
import { preface, settingsFrame } from "../../support/frames.ts";
import { mutateFrames } from "../frame-mutations.ts";
import { feed, isAlike, Owner, PeerSocket, settingsOf, User } from "../http2-connection.ts";
import { Input, pieces } from "../input.ts";

export async function fuzz(data: Uint8Array): Promise<void> {
  const input = new Input(data);
  const [how, manner] = [input.byte(), input.byte()];
  const greeting = (manner & 32) === 0 ? [settingsFrame([])] : [];
  const bytes = Buffer.concat([...greeting, input.rest()]);
  const cut = await run(pieces(bytes, how), manner);
  if (!isAlike(manner)) return;
  assert.deepEqual(cut, await run([Buffer.from(bytes)], manner));
}

function run(chunks: Buffer[], manner: number): Promise<string[]> {
  const owner = new Owner(manner);
  const socket = new PeerSocket(preface.length, owner.rules);
  socket.stalls = (manner & 128) !== 0;
  const connection = new Http2Connection(socket, { role: "client", listener: owner, settings: settingsOf(manner) });
  for (const [method, end, body] of [
    ["POST", false, 30],
    ["HEAD", true, 0],
    ["POST", false, 70_000],
    ["GET", true, 0],
  ] as const) {
    const user = new User(manner, owner.rules);
    owner.users.push(user);
    user.stream = connection.request(fieldsOf(method), end, user);
    if (body > 0) user.stream.sendData(Buffer.alloc(body, "b"), 0, body, (manner & 64) === 0);
  }
  return feed({ connection, socket, owner }, chunks);
}

function fieldsOf(method: string): Field[] {
  return [
    new Field(":method", method),
    new Field(":scheme", "http"),
    new Field(":authority", "a.example"),
    new Field(":path", "/a.S/M"),
  ];
}

export { mutateFrames as mutate };
