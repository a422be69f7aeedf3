import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { createHandler, peerKey } from "../../src/universal/handler.ts";
import { until } from "../support/until.ts";
import { fakeAcceptor } from "./acceptor.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function* pieces(...texts: string[]): AsyncIterable<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

function request(
  changes: Partial<UniversalServerRequest> & { headers?: [string, string][] } = {},
): UniversalServerRequest {
  const { headers = [["content-type", "application/connect+proto"]], ...rest } = changes;
  return {
    httpVersion: "2.0",
    method: "POST",
    url: "https://api.example/acme.Users/Get",
    header: new Headers(headers),
    body: pieces(),
    signal: new AbortController().signal,
    ...rest,
  };
}

async function textOf({ body }: UniversalServerResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? pieces()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("createHandler()", () => {
  it("gives the proxy the request's fields, pseudo-fields first, without what is for one hop", async () => {
    const proxy = fakeAcceptor((call) => call.send({ ":status": "204" }, true));
    await createHandler(proxy)(
      request({
        headers: [
          ["host", "ignored.example"],
          ["connection", "keep-alive, x-hop"],
          ["x-hop", "1"],
          ["keep-alive", "timeout=5"],
          ["te", "trailers"],
          ["transfer-encoding", "chunked"],
          ["x-bytes", "\xe9\xff"],
          ["x-twice", "a"],
          ["x-twice", "b"],
        ],
      }),
    );
    expect(proxy.calls[0]!.fields).toEqual([
      [":method", "POST"],
      [":scheme", "https"],
      [":authority", "api.example"],
      [":path", "/acme.Users/Get"],
      ["x-bytes", "\xe9\xff"],
      ["x-twice", "a, b"],
    ]);
  });

  it.each([
    ["http://a/p.S/M?connect=v1&x=%2F#f", "", "/p.S/M?connect=v1&x=%2F"],
    ["http://a/x/../p.S/M", "", "/x/../p.S/M"],
    ["/p.S/M", "", "/p.S/M"],
    ["http://a", "", "/"],
    ["http://a/api/p.S/M", "/api", "/p.S/M"],
    ["http://a/apis/p.S/M", "/api", "/apis/p.S/M"],
    ["http://a/p.S/M", "/api", "/p.S/M"],
  ])("takes the path of %s with the prefix %j as it is: %s", async (url, requestPathPrefix, path) => {
    const proxy = fakeAcceptor((call) => call.send({ ":status": "204" }, true));
    await createHandler(proxy, { requestPathPrefix })(request({ url }));
    expect(proxy.calls[0]!.field(":path")).toBe(path);
  });

  it("knows the peer where the host has said it, and TLS from the URL", async () => {
    const proxy = fakeAcceptor((call) => call.send({ ":status": "204" }, true));
    const handler = createHandler(proxy);
    const peer = { address: "192.0.2.1", port: 5 };
    await handler(request({ contextValues: createContextValues().set(peerKey, peer) }));
    await handler(request({ url: "http://api.example/a.B/C", httpVersion: "1.1" }));
    await handler(request({ httpVersion: "" }));
    expect(proxy.calls.map(({ origin }) => origin)).toEqual([
      { peer, secure: true, httpVersion: "2.0" },
      { peer: { address: "", port: 0 }, secure: false, httpVersion: "1.1" },
      { peer: { address: "", port: 0 }, secure: true },
    ]);
  });

  it("pulls the request as it is consumed", async () => {
    let pulled = 0;
    async function* endless(): AsyncIterable<Uint8Array> {
      for (;;) {
        pulled++;
        yield new Uint8Array(16 << 10);
      }
    }
    const proxy = fakeAcceptor();
    void createHandler(proxy)(request({ body: endless() }));
    const [call] = proxy.calls;
    await until("the window", () => call!.pieces.length === 4);
    await turn();
    expect(pulled).toBe(4);
    call!.stream.consume(32 << 10);
    await until("more", () => call!.pieces.length === 6);
    await turn();
    expect(pulled).toBe(6);
  });

  it("gives the whole request, and its end", async () => {
    const proxy = fakeAcceptor();
    void createHandler(proxy)(request({ body: pieces("ab", "", "cd") }));
    const [call] = proxy.calls;
    expect(call!.endedAtOnce).toBe(false);
    await until("the end", () => call!.ended);
    expect(call!.body).toBe("abcd");
    void createHandler(proxy)(request({ method: "GET" }));
    expect(proxy.calls[1]!.endedAtOnce).toBe(true);
  });

  it("writes JSON anew that the host has parsed", async () => {
    const proxy = fakeAcceptor();
    const headers: [string, string][] = [
      ["content-type", "application/json; charset=utf-8"],
      ["content-length", "999"],
      ["content-encoding", "gzip"],
    ];
    void createHandler(proxy)(request({ headers, body: { name: "ü" } }));
    const [call] = proxy.calls;
    await until("the end", () => call!.ended);
    expect(call!.body).toBe('{"name":"ü"}');
    expect(call!.fields.slice(4)).toEqual([
      ["content-type", "application/json; charset=utf-8"],
      ["content-length", "13"],
    ]);
  });

  it("says so where the host has parsed anything else", async () => {
    const proxy = fakeAcceptor();
    const response = await createHandler(proxy)(
      request({ headers: [["content-type", "application/proto"]], body: {} }),
    );
    expect(response.status).toBe(500);
    expect(await textOf(response)).toContain('content-type "application/proto" was parsed before');
    expect(proxy.calls).toEqual([]);
  });

  it("gives the host head, body and trailers", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    const [call] = proxy.calls;
    call!.send({ ":status": "103", link: "x" });
    call!.send({ ":status": "200", "x-a": "\xe9", connection: "close" });
    const response = await pending;
    expect(response.status).toBe(200);
    expect([...response.header!]).toEqual([["x-a", "\xe9"]]);
    call!.data("abc");
    call!.data("def");
    call!.send({ "x-t": "1" }, true);
    expect(await textOf(response)).toBe("abcdef");
    expect([...response.trailer!]).toEqual([["x-t", "1"]]);
    expect(call!.stream.closed).toBe(true);
  });

  it("announces the head where no body has come yet", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    proxy.calls[0]!.send({ ":status": "200" });
    const body = (await pending).body![Symbol.asyncIterator]();
    expect(await body.next()).toEqual({ done: false, value: new Uint8Array(0) });
    proxy.calls[0]!.data("abc", true);
    expect(Buffer.from((await body.next()).value).toString()).toBe("abc");
    expect(await body.next()).toEqual({ done: true, value: undefined });
  });

  it("makes trailers of gRPC's Trailers-Only response, as hosts can't end a stream with its head", async () => {
    const proxy = fakeAcceptor((call) =>
      call.send({ ":status": "200", "content-type": "application/grpc+proto", "grpc-status": "5", "x-m": "1" }, true),
    );
    const response = await createHandler(proxy)(request({ headers: [["content-type", "application/grpc"]] }));
    expect([...response.header!]).toEqual([["content-type", "application/grpc+proto"]]);
    expect([...response.trailer!]).toEqual([
      ["grpc-status", "5"],
      ["x-m", "1"],
    ]);
    expect(response.body).toBeUndefined();
    const web = fakeAcceptor((call) =>
      call.send({ ":status": "200", "content-type": "application/grpc-web", "grpc-status": "5" }, true),
    );
    expect((await createHandler(web)(request())).header!.get("grpc-status")).toBe("5");
  });

  it("holds back what isn't pulled, and tells as it is", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    const [call] = proxy.calls;
    call!.send({ ":status": "200" });
    const body = (await pending).body![Symbol.asyncIterator]();
    const piece = new Uint8Array(40 << 10);
    expect([call!.data(piece), call!.data(piece), call!.data(piece)]).toEqual([true, false, false]);
    expect((await body.next()).value.length).toBe(40 << 10);
    expect(call!.sent).toBe(0);
    await body.next();
    expect(call!.sent).toBe(40 << 10);
    await body.next();
    expect(call!.sent).toBe(80 << 10);
    const waiting = body.next();
    expect(call!.data(piece)).toBe(true); // somebody waits for it
    expect((await waiting).value.length).toBe(40 << 10);
    expect(call!.sent).toBe(80 << 10);
  });

  it("hands out small pieces as one", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    proxy.calls[0]!.send({ ":status": "200" });
    for (const text of ["a", "b", "c"]) proxy.calls[0]!.data(text);
    const body = (await pending).body![Symbol.asyncIterator]();
    expect(Buffer.from((await body.next()).value).toString()).toBe("abc");
  });

  it("drops what is held back, and nothing else, to let trailers out", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    const [call] = proxy.calls;
    call!.send({ ":status": "200" });
    call!.data("kept");
    call!.data(new Uint8Array(100 << 10));
    call!.stream.dropQueue();
    call!.send({ "grpc-status": "4" }, true);
    const response = await pending;
    expect(await textOf(response)).toBe("kept");
    expect(response.trailer!.get("grpc-status")).toBe("4");
  });

  it("tells the proxy when the caller goes away, before the head and behind it", async () => {
    const proxy = fakeAcceptor();
    const before = new AbortController();
    const first = createHandler(proxy)(request({ signal: before.signal }));
    before.abort();
    await expect(first).rejects.toMatchObject({ code: Code.Canceled });
    const behind = new AbortController();
    const second = createHandler(proxy)(request({ signal: behind.signal }));
    proxy.calls[1]!.send({ ":status": "200" });
    const body = (await second).body![Symbol.asyncIterator]();
    await body.next();
    const next = body.next();
    behind.abort(new ConnectError("gone", Code.Aborted));
    await expect(next).rejects.toMatchObject({ code: Code.Aborted, rawMessage: "gone" });
    expect(proxy.calls.map(({ cause, stream }) => [cause, stream.closed])).toEqual([
      ["peer", true],
      ["peer", true],
    ]);
    const aborted = createHandler(proxy)(request({ signal: AbortSignal.abort() }));
    await expect(aborted).rejects.toMatchObject({ code: Code.Canceled });
    expect(proxy.calls[2]!.cause).toBe("peer");
  });

  it("tells the proxy when the host stops to pull, or the request's body breaks", async () => {
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request());
    proxy.calls[0]!.send({ ":status": "200" });
    await (await pending).body![Symbol.asyncIterator]().return!();
    expect(proxy.calls[0]!.cause).toBe("peer");
    async function* broken(): AsyncIterable<Uint8Array> {
      yield Buffer.from("a");
      throw new Error("ECONNRESET");
    }
    const second = createHandler(proxy)(request({ body: broken() }));
    await expect(second).rejects.toThrow("ECONNRESET");
    expect(proxy.calls[1]!.cause).toBe("peer");
  });

  it("tells the host when the proxy ends the stream", async () => {
    const proxy = fakeAcceptor();
    const first = createHandler(proxy)(request());
    proxy.calls[0]!.stream.reset(ErrorCode.internalError);
    await expect(first).rejects.toMatchObject({ code: Code.Aborted });
    const second = createHandler(proxy)(request());
    proxy.calls[1]!.send({ ":status": "200" });
    proxy.calls[1]!.data("abc");
    const response = await second;
    proxy.calls[1]!.stream.reset(ErrorCode.internalError);
    await expect(textOf(response)).rejects.toMatchObject({ code: Code.Aborted });
    expect(proxy.calls.map(({ cause }) => cause)).toEqual([undefined, undefined]);
  });

  it("gives the whole response of a call that ends before its request, and reads no more of that", async () => {
    let pulled = 0;
    async function* endless(): AsyncIterable<Uint8Array> {
      for (;;) {
        pulled++;
        yield new Uint8Array(16 << 10);
      }
    }
    const proxy = fakeAcceptor();
    const pending = createHandler(proxy)(request({ body: endless() }));
    const [call] = proxy.calls;
    call!.send({ ":status": "200" });
    call!.data("early", true);
    call!.stream.reset(ErrorCode.noError);
    await turn();
    const before = pulled;
    expect(await textOf(await pending)).toBe("early");
    await turn();
    expect(pulled).toBe(before);
    expect(before).toBeLessThanOrEqual(4);
  });

  it("refuses gRPC where the host can't send trailers, and says what to do", async () => {
    const proxy = fakeAcceptor();
    const headers: [string, string][] = [["content-type", "application/grpc+proto"]];
    const http1 = await createHandler(proxy)(request({ headers, httpVersion: "1.1" }));
    expect(http1.status).toBe(505);
    expect(await textOf(http1)).toMatch(/HTTP\/1\.1.*gRPC-Web or Connect/);
    const fetchHost = await createHandler(proxy)(request({ headers, httpVersion: "" }));
    expect(fetchHost.status).toBe(200);
    expect(fetchHost.body).toBeUndefined();
    expect(fetchHost.header!.get("grpc-status")).toBe("12");
    expect(fetchHost.header!.get("grpc-message")).toMatch(/can't send HTTP trailers.*gRPC-Web or Connect/);
    expect(proxy.calls).toEqual([]);
    const web = fakeAcceptor((call) => call.send({ ":status": "204" }, true));
    const type: [string, string][] = [["content-type", "application/grpc-web+proto"]];
    await createHandler(web)(request({ headers: type, httpVersion: "1.1" }));
    expect(web.calls).toHaveLength(1);
  });
});
