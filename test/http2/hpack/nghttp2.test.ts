/** Header blocks against nghttp2, as `node:http2` has it: what either side writes, the other must read. */
import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Field, Indexing } from "../../../src/http2/field.ts";
import { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http2/hpack/encoder.ts";
import {
  Flag,
  type Frame,
  FrameType,
  frame,
  frameReader,
  preface,
  Setting,
  settingsFrame,
} from "../../support/frames.ts";
import { integersOf } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { encode } from "./fields.ts";

const requests = 300;

/** The least a client needs to have header blocks of its own read, and to read those of the server. */
class Client {
  readonly lists: (readonly Field[] | undefined)[] = [];
  readonly encoder: HpackEncoder;
  readonly #decoder: HpackDecoder;
  readonly #socket: Socket;
  readonly #maxTableSize: number;
  readonly goaways: number[] = [];
  /** Table sizes that the server has announced. */
  readonly peerSizes: number[] = [];

  constructor(socket: Socket, maxTableSize: number) {
    this.#socket = socket;
    this.#maxTableSize = maxTableSize;
    this.encoder = new HpackEncoder({ maxTableSize: 8192 });
    this.#decoder = new HpackDecoder({ maxTableSize, maxListSize: 65_536, maxFields: 1000 });
    socket.on(
      "data",
      frameReader((received) => this.#onFrame(received)),
    );
    socket.write(Buffer.concat([preface, settingsFrame([[Setting.headerTableSize, maxTableSize]])]));
  }

  request(id: number, fields: readonly Field[]): void {
    const block = Buffer.from(encode(this.encoder, fields));
    this.#socket.write(frame(FrameType.headers, Flag.endStream | Flag.endHeaders, id, block));
  }

  #onFrame({ type, flags, payload }: Frame): void {
    if (type === FrameType.headers) this.lists.push(this.#decoder.decode(payload, 0, payload.length));
    if (type === FrameType.goaway) this.goaways.push(payload.readUInt32BE(4));
    if (type !== FrameType.settings) return;
    if (flags & Flag.ack) this.#decoder.setMaxTableSize(this.#maxTableSize);
    else this.#onSettings(payload);
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== Setting.headerTableSize) continue;
      this.peerSizes.push(payload.readUInt32BE(at + 2));
      this.encoder.setPeerTableSize(payload.readUInt32BE(at + 2));
    }
    this.#socket.write(frame(FrameType.settings, Flag.ack, 0));
  }
}

describe("nghttp2", () => {
  let server: Http2Server;
  let session: ServerHttp2Session;

  beforeAll(async () => {
    server = createServer();
    server.on("session", (opened) => {
      session = opened;
    });
    // The whole request as the response, in its order; never indexed fields stay so.
    server.on("stream", (stream, headers) => {
      const { ":method": _m, ":scheme": _s, ":authority": _a, ":path": path, ...others } = headers;
      stream.respond({ ":status": 200, "x-path": path, ...others }, { endStream: true });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });

  afterAll(() => {
    session?.destroy();
    server.close();
  });

  it.each([4096, 200, 0, 20_000])(
    "reads our blocks and writes ours, with a table of %i bytes",
    async (maxTableSize) => {
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      const client = new Client(socket, maxTableSize);
      await until("the server's SETTINGS", () => session !== undefined && !session.destroyed);
      const random = integersOf(maxTableSize + 1);
      for (let i = 0; i < requests; i++) {
        if (i % 50 === 49) await changeTableSize(client, random(6000));
        const fields = requestOf(random);
        client.request(i * 2 + 1, fields);
        await until(`response ${i}`, () => client.lists.length > i || client.goaways.length > 0);
        expect(client.goaways).toEqual([]);
        expect(sent(client.lists[i])).toEqual(sent(fields));
      }
      socket.destroy();
      await until("the session's end", () => session.destroyed);
    },
  );

  async function changeTableSize(client: Client, size: number): Promise<void> {
    const count = client.peerSizes.length;
    session.settings({ headerTableSize: size + count });
    await until("new SETTINGS", () => client.peerSizes.length > count);
    await until("their acknowledgement", () => !session.pendingSettingsAck);
  }
});

/** Name and value of what a request and its response have in common, the path under its other name. */
function sent(fields: readonly Field[] | undefined): string[] | undefined {
  return fields
    ?.filter((field) => field.name === ":path" || (!field.name.startsWith(":") && field.name !== "date"))
    .map((field) => `${field.name.replace(":", "x-")}: ${field.value}`)
    .sort();
}

function requestOf(random: (below: number) => number): Field[] {
  const representations = [Indexing.incremental, Indexing.incremental, Indexing.without, Indexing.never];
  const others = Array.from({ length: random(12) }, (_, i) => {
    const value = String.fromCharCode(...Array.from({ length: random(60) }, () => 0x21 + random(94)));
    return new Field(`x-${i}-${random(3)}`, random(2) === 0 ? `${random(4)}` : value, representations[random(4)]);
  });
  return [
    new Field(":method", "GET"),
    new Field(":scheme", "http"),
    new Field(":authority", "localhost"),
    new Field(":path", `/service/Method${random(5)}`, representations[random(4)]),
    ...others,
  ];
}
