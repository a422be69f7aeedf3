import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, connectPeer, envelope, openEnvelopes } from "./grpc.ts";
import { HpackDecoder } from "./hpack.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

describe("HpackDecoder", () => {
  it("reads RFC 7541 appendix C.4, requests with Huffman codes and a dynamic table", () => {
    const decoder = new HpackDecoder();
    const first = decoder.decode(Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex"));
    const second = decoder.decode(Buffer.from("828684be5886a8eb10649cbf", "hex"));
    const third = decoder.decode(Buffer.from("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", "hex"));
    expect(first.at(-1)).toEqual([":authority", "www.example.com"]);
    expect(second.at(-1)).toEqual(["cache-control", "no-cache"]);
    expect(third.at(-1)).toEqual(["custom-key", "custom-value"]);
    expect(third[3]).toEqual([":authority", "www.example.com"]);
  });
});

describe("H2Peer and an independent implementation", () => {
  const server = http2.createServer();
  let upstream: Upstream;

  beforeAll(async () => {
    server.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200, "x-path": headers[":path"] ?? "" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    upstream = await startUpstream();
  });
  afterAll(async () => {
    server.close();
    await upstream.close();
  });

  it("as a client calls node:http2, more than a window at a time", async () => {
    const peer = await connectPeer((server.address() as AddressInfo).port);
    const message = Buffer.alloc(300_000, 7);
    const result = await call(peer, "/a/b", { messages: [message] });
    expect(result.status).toBe(0);
    expect(result.stream.field("x-path")).toBe("/a/b");
    expect(result.messages?.[0]?.bytes.equals(message)).toBe(true);
    await peer.close();
  });

  it("as an upstream answers node:http2, more than a window at a time", async () => {
    const session = http2.connect(upstream.url);
    const body = envelope(Buffer.alloc(300_000, 9));
    const got = await new Promise<{ body: Buffer; trailers: http2.IncomingHttpHeaders }>((resolve) => {
      const stream = session.request({ ":method": "POST", ":path": "/c/d" });
      const chunks: Buffer[] = [];
      let trailers: http2.IncomingHttpHeaders = {};
      stream.on("trailers", (fields) => {
        trailers = fields;
      });
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", () => resolve({ body: Buffer.concat(chunks), trailers }));
      stream.end(body);
    });
    expect(got.body.equals(body)).toBe(true);
    expect(openEnvelopes(got.body)).toHaveLength(1);
    expect(got.trailers["grpc-status"]).toBe("0");
    expect(upstream.calls[0]?.field(":path")).toBe("/c/d");
    session.close();
  });
});
