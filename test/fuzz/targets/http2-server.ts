/** Fuzz: an HTTP/2 connection in the server's role, fed with any bytes behind the preface, or with any at all. */
import assert from "node:assert/strict";
import { Http2Connection } from "../../../src/http2/connection.ts";
import { preface, settingsFrame } from "../../support/frames.ts";
import { mutateFrames } from "../frame-mutations.ts";
import { feed, Owner, PeerSocket } from "../http2-connection.ts";
import { Input, pieces } from "../input.ts";

const settings = { maxHeaderListSize: 2_000, maxHeaderFields: 20, maxConcurrentStreams: 5, maxUselessFrames: 60 };

export async function fuzz(data: Uint8Array): Promise<void> {
  const input = new Input(data);
  const [how, manner] = [input.byte(), input.byte()];
  const greeting = (manner & 32) === 0 ? [preface, settingsFrame([])] : [];
  const bytes = Buffer.concat([...greeting, input.rest()]);
  const cut = await run(pieces(bytes, how), manner);
  if ((manner & 2) !== 0) return; // what is echoed piece by piece is more of what makes up for useless frames
  assert.deepEqual(cut, await run([Buffer.from(bytes)], manner));
}

function run(chunks: Buffer[], manner: number): Promise<string[]> {
  const owner = new Owner(manner);
  const socket = new PeerSocket(0, owner.rules);
  const connection = new Http2Connection(socket, { role: "server", listener: owner, settings });
  return feed({ connection, socket, owner }, chunks);
}

export { mutateFrames as mutate };
