/** Fuzz: an HTTP/2 connection in the server's role, fed with any bytes behind the preface, or with any at all. */
import assert from "node:assert/strict";
import { Http2Connection } from "../../../src/http2/connection.ts";
import { preface, settingsFrame } from "../../support/frames.ts";
import { mutateFrames } from "../frame-mutations.ts";
import { feed, isAlike, Owner, PeerSocket, settingsOf } from "../http2-connection.ts";
import { Input, pieces } from "../input.ts";

export async function fuzz(data: Uint8Array): Promise<void> {
  const input = new Input(data);
  const [how, manner] = [input.byte(), input.byte()];
  const greeting = (manner & 32) === 0 ? [preface, settingsFrame([])] : [];
  const bytes = Buffer.concat([...greeting, input.rest()]);
  const cut = await run(pieces(bytes, how), manner);
  if (!isAlike(manner)) return;
  assert.deepEqual(cut, await run([Buffer.from(bytes)], manner));
}

function run(chunks: Buffer[], manner: number): Promise<string[]> {
  const owner = new Owner(manner);
  const socket = new PeerSocket(0, owner.rules);
  socket.stalls = (manner & 128) !== 0;
  const connection = new Http2Connection(socket, { role: "server", listener: owner, settings: settingsOf(manner) });
  return feed({ connection, socket, owner }, chunks);
}

export { mutateFrames as mutate };
