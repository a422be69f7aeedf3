/** Fuzz: HTTP/1.1, the server's side: how requests are cut changes nothing, and a connection ends in order whatever comes. */
import assert from "node:assert/strict";
import { readRequests } from "../../http1/events.ts";
import { open, type Recorded } from "../../http1/memory.ts";
import { Input, pieces, random } from "../input.ts";

export async function fuzz(data: Uint8Array): Promise<void> {
  const input = new Input(data);
  const [how, manner] = [input.byte(), input.byte()];
  const bytes = input.rest();
  const cuts = pieces(bytes, how);
  let at = 0;
  const splits = cuts.slice(0, -1).map(({ length }) => (at += length));
  const whole = readRequests(bytes);
  assert.deepEqual(readRequests(bytes, { splits }), whole);
  if (whole.refused !== undefined)
    assert([400, 408, 411, 413, 414, 417, 431, 501, 505].includes(whole.refused), `${whole.refused}`);
  await checkConnection(cuts, manner, whole.requests.length);
}

async function checkConnection(cuts: Buffer[], manner: number, most: number): Promise<void> {
  const { socket, requests, closes, connection } = open({ onRequest: (request) => answer(request, manner) });
  let text = "";
  for (const cut of cuts) {
    if (socket.state === "open") socket.emit("data", cut);
    if (manner % 2 === 0) text += await socket.take();
  }
  text += await socket.take();
  socket.emit("end");
  socket.emit("close");
  text += await socket.take();
  assert(connection.closed);
  assert.equal(closes.length, 1);
  assert(requests.length <= Math.max(most, 0), `${requests.length} requests of ${most}`);
  assert(text === "" || /^HTTP\/1\.1 [1-5]\d\d /.test(text), text.slice(0, 40));
  // no request is answered twice: what isn't interim is as much as was asked, and perhaps a refusal
  const answers = text.match(/HTTP\/1\.1 [2-5]\d\d [^\r\n]*\r\n/g) ?? [];
  assert(answers.length <= requests.length + 1);
}

function answer(request: Recorded, manner: number): void {
  const next = random(manner);
  if (next(5) === 0) return;
  if (next(5) === 0) return request.stream.reset(2);
  if (next(3) === 0) return request.answer(204);
  request.head(200, false, ...(next(2) === 0 ? [["content-length", "3"] as const] : []));
  request.data("abc", next(2) === 0);
  request.end();
}
