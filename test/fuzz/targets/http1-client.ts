/** Fuzz: HTTP/1.1, the client's side: any bytes as the responses to some requests. */
import assert from "node:assert/strict";
import type { ResetCause, StreamListener } from "../../../src/http2/api.ts";
import { Field } from "../../../src/http2/field.ts";
import { Http1ClientConnection } from "../../../src/upstream/http1/connection.ts";
import { MemorySocket } from "../../http1/memory.ts";
import { Input, pieces } from "../input.ts";
import { Rules } from "../rules.ts";

const methods = ["POST", "HEAD", "GET"];

/** The body as one text, so that cuts don't show. */
class Told implements StreamListener {
  readonly rules = new Rules();
  text = "";
  ended = false;
  reset = false;

  onHeaders(fields: Field[], end: boolean): void {
    this.#tell(`[${fields.map(({ name, value }) => `${name}: ${value}`).join("|")}]`, end);
    this.rules.hold(/^[1-9]\d\d$/.test(fields[0]!.value), "a status");
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.rules.hold(0 <= start && start <= stop && stop <= bytes.length, "a range of what was read");
    this.#tell(Buffer.from(bytes.subarray(start, stop)).toString("latin1"), end);
  }

  onTrailers(fields: Field[]): void {
    this.#tell(`{${fields.map(({ name, value }) => `${name}: ${value}`).join("|")}}`, true);
  }

  onSent(): void {}

  onReset(_code: number, cause: ResetCause): void {
    this.rules.hold(!this.reset && !this.ended, "told of two ends");
    this.reset = true;
    this.text += ` <${cause}>`;
  }

  #tell(text: string, end: boolean): void {
    this.rules.hold(!this.ended && !this.reset, "told something behind the end");
    this.text += text;
    this.ended = end;
  }
}

export async function fuzz(data: Uint8Array): Promise<void> {
  const input = new Input(data);
  const [how, manner] = [input.byte(), input.byte()];
  const bytes = input.rest();
  const whole = await run([Buffer.from(bytes)], manner);
  assert.deepEqual(await run(pieces(bytes, how), manner), whole);
}

/** One request; what comes behind its response is the connection's end. */
async function run(cuts: Buffer[], manner: number): Promise<string> {
  const socket = new MemorySocket();
  let closes = 0;
  const listener = { onClose: () => void closes++ };
  const options = { listener, streamIdleTimeoutMs: 0, initialWindowSize: 65_535, maxSocketBuffer: 1 << 16 };
  const connection = new Http1ClientConnection(socket, options);
  const told = new Told();
  const method = methods[manner % methods.length]!;
  const head = [new Field(":method", method), new Field(":path", "/a"), new Field(":authority", "a")];
  const stream = connection.request(head, method !== "POST", told);
  if (method === "POST") stream.sendData(Buffer.from("abc"), 0, 3, true);
  for (const cut of cuts) socket.emit("data", cut);
  await socket.take();
  assert(connection.room === 0 || told.ended, "room for another, though the response isn't whole");
  socket.emit("end");
  socket.emit("close");
  await socket.take();
  assert(connection.closed && connection.streamCount === 0);
  assert.equal(closes, 1);
  told.rules.check();
  assert(told.ended !== told.reset, "told of its end");
  return told.text;
}
