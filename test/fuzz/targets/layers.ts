/**
 * Fuzz: the layers of gRPC-Web and Connect, fed with any bodies in any pieces: what is above hears the same however a body is cut,
 * gives credit for what came and no more, and is told of an end once.
 */
import assert from "node:assert/strict";
import type { Layer } from "../../../src/http2/layer.ts";
import { ConnectStreamClient, ConnectStreamServer } from "../../../src/protocol/connect-stream.ts";
import { ConnectUnaryClient } from "../../../src/protocol/connect-unary-client.ts";
import { ConnectUnaryServer } from "../../../src/protocol/connect-unary-server.ts";
import { GrpcWebClient, GrpcWebServer, GrpcWebTextServer } from "../../../src/protocol/grpc-web.ts";
import { Base64Decoder } from "../../../src/wire/base64-stream.ts";
import { prefixLength } from "../../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, stacked } from "../../support/memory-stream.ts";
import { Input, pieces } from "../input.ts";

const kinds = { onRightKind() {}, onWrongKind: () => false };
const unary = { codec: "proto", get: undefined, contentLength: -1, compressed: false, acceptEncoding: undefined };

const servers: readonly (() => Layer)[] = [
  () => new GrpcWebServer(),
  () => new GrpcWebTextServer(undefined),
  () => new ConnectStreamServer("proto"),
  () => new ConnectUnaryServer(unary),
];
const textServer = 1;

const webHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc-web+proto"],
  ["grpc-encoding", "gzip"],
];
const streamHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/connect+proto"],
  ["connect-content-encoding", "gzip"],
];
const unaryHead = (status: string, type: string): Pairs => [
  [":status", status],
  ["content-type", type],
  ["trailer-x-t", "1"],
];

const clients: readonly (readonly [() => Layer, Pairs])[] = [
  [() => new GrpcWebClient(), webHead],
  [() => new ConnectStreamClient(kinds), streamHead],
  [() => new ConnectUnaryClient("proto", kinds), unaryHead("200", "application/proto")],
  [() => new ConnectUnaryClient("proto", kinds), unaryHead("404", "application/json")],
];

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const [how, which] = [input.byte(), input.byte()];
  const body = input.rest();
  const client = clients[which % 8];
  if (client !== undefined) {
    assert.deepEqual(answered(client, pieces(body, how), which), answered(client, [body], which));
    return;
  }
  const at = which % servers.length;
  const cut = asked(servers[at]!(), pieces(body, how), body);
  // of a piece that isn't base64 nothing is passed
  if (at === textServer && new Base64Decoder().push(body, 0, body.length) === undefined) return;
  assert.deepEqual(cut, asked(servers[at]!(), [body], body));
}

/** A response of the upstream's. */
function answered([make, head]: (typeof clients)[number], cuts: readonly Buffer[], which: number) {
  const { below, above } = stacked(make());
  below.head(head);
  for (const cut of cuts) below.data(cut);
  if (which >= 128) below.trailers([["grpc-status", "0"]]);
  else below.data(Buffer.alloc(0), true);
  assert(above.ended !== (above.reset !== undefined), "told of its end");
  if (!below.closed)
    assert(below.given - below.credited < prefixLength, "all credit, but for a prefix that was cut off");
  return [above.heads, above.body, above.trailers, above.reset, above.ended];
}

/** A request of the caller's, and an answer to it whose messages are the same bytes. */
function asked(layer: Layer, cuts: readonly Buffer[], body: Buffer) {
  const { below, above } = stacked(layer);
  for (const cut of cuts) below.data(cut);
  below.data(Buffer.alloc(0), true);
  assert(below.closed || above.ended || above.reset !== undefined || below.localEnded, "told of its end");
  assert(below.credited <= below.given);
  const request = [above.body, above.ended, above.reset, below.resetWith];
  if (below.closed || below.localEnded) return request;
  layer.sendHeaders(
    fieldsOf([
      [":status", "200"],
      ["content-type", "application/grpc+proto"],
    ]),
    false,
  );
  for (const cut of cuts) layer.sendData(cut, 0, cut.length, false);
  layer.sendHeaders(
    fieldsOf([
      ["grpc-status", "0"],
      ["x-t", body.toString("hex", 0, 20)],
    ]),
    true,
  );
  assert(below.closed || below.localEnded, "answered");
  return request;
}
