/**
 * The bare HTTP/1.1 codec: answers every request with its own body. The floor for all that is carried over HTTP/1.1.
 *
 * `bun bench/http1-echo.ts 8080`, `deno run -A bench/http1-echo.ts 8080`; for Node 20 bundle it first: `bun build --target node`. Then
 *
 *     h2load --h1 -n 200000 -c 64 -d body -H "content-type: application/grpc-web+proto" http://127.0.0.1:8080/a.S/M
 *
 * Each 20,000 requests it prints the CPU that one took: user and system time of this process.
 */
import { createServer } from "node:net";
import process from "node:process";
import { Http1Connection } from "../src/http1/connection.ts";
import type { HttpStream, StreamListener } from "../src/http2/api.ts";
import { Field } from "../src/http2/field.ts";

const reportEvery = 20_000;
const status = new Field(":status", "200");
const contentType = new Field("content-type", "application/grpc-web+proto");
const nothing = new Uint8Array(0);

class Echo implements StreamListener {
  readonly #stream: HttpStream;
  #body: Uint8Array = nothing;

  constructor(stream: HttpStream) {
    this.#stream = stream;
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const piece = bytes.subarray(start, stop);
    this.#body = this.#body.length === 0 ? piece : Buffer.concat([this.#body, piece]);
    this.#stream.consume(stop - start);
    if (end) this.answer();
  }

  answer(): void {
    this.#stream.sendHeaders([status, contentType, new Field("content-length", String(this.#body.length))], false);
    this.#stream.sendData(this.#body, 0, this.#body.length, true);
    count();
  }

  onHeaders(): void {}
  onTrailers(): void {
    this.answer();
  }
  onSent(): void {}
  onReset(): void {}
}

let requests = 0;
let before = process.cpuUsage();

function count(): void {
  if (++requests % reportEvery > 0) return;
  const { user, system } = process.cpuUsage(before);
  before = process.cpuUsage();
  console.log(
    `${((user + system) / reportEvery).toFixed(2)} us of CPU per request (system ${(system / reportEvery).toFixed(2)})`,
  );
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  new Http1Connection(socket, {
    secure: false,
    listener: {
      onRequest(stream, _fields, end) {
        const echo = new Echo(stream);
        if (end) echo.answer();
        return echo;
      },
      onClose() {},
    },
  });
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1");
