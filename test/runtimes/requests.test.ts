/** What clients send wrongly or oddly: rows B6, C1 (client's side), C2, C5 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { call, envelope, requestFields } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, onRuntime } from "./suite.ts";

const service = "manifold.test.Open";
const path = `/${service}/Get`;

onRuntime("requests", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream();
    // only this service is open; a stand-in knows no refusal, and is seen to fail C5 by it
    const routes = [{ match: { service }, to: "main" }, { refuse: { code: "permission_denied" } }];
    stage = await setStage([upstream.url], { routes });
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  /** A request of any fields with a small body, to its end. */
  async function send(peer: H2Peer, fields: readonly FieldPair[]): Promise<PeerStream> {
    const stream = peer.open(fields);
    stream.sendData(envelope(Buffer.from("hello")), { end: true });
    await stream.finished;
    return stream;
  }

  const wrong: [string, FieldPair[], string][] = [
    ["text/plain", [["content-type", "text/plain"]], "415"],
    ["no content-type", [], "415"],
    ["application/grpcx", [["content-type", "application/grpcx"]], "415"],
  ];
  for (const [what, fields, status] of wrong) {
    check(`B6 a POST with ${what} is answered ${status}, without an upstream call`, async () => {
      const calls = upstream.calls.length;
      const peer = await stage.connect();
      const request = requestFields(path).filter(([name]) => name !== "content-type");
      const stream = await send(peer, [...request, ...fields]);
      expect(stream.field(":status")).toBe(status);
      expect(upstream.calls.length).toBe(calls);
      expect((await call(peer, path)).status).toBe(0);
    });
  }

  check("B6 a GET of gRPC is answered 405, without an upstream call", async () => {
    const calls = upstream.calls.length;
    const peer = await stage.connect();
    const stream = peer.open([[":method", "GET"], ...requestFields(path).slice(1)], { end: true });
    await stream.finished;
    expect(stream.field(":status")).toBe("405");
    expect(upstream.calls.length).toBe(calls);
    expect((await call(peer, path)).status).toBe(0);
  });

  const refused: [string, FieldPair[]][] = [
    ["CR LF in a value", [["x-bad", "a\r\nx-smuggled: b"]]],
    ["LF in a value", [["x-bad", "a\nb"]]],
    ["CR in a value", [["x-bad", "a\rb"]]],
    ["NUL in a value", [["x-bad", "a\0b"]]],
    ["LF in a name", [["x-b\nad", "a"]]],
    ["NUL in a name", [["x-b\0ad", "a"]]],
    ["a space in a name", [["x bad", "a"]]],
    ["an empty name", [["", "a"]]],
    ["an upper-case name", [["X-Bad", "a"]]],
    ["a doubled pseudo-header", [[":path", "/other.Service/Get"]]],
    ["an unknown pseudo-header", [[":bad", "a"]]],
  ];
  for (const [what, fields] of refused) {
    check(`C1 ${what} is refused for that stream only, and no upstream sees it`, async () => {
      const calls = upstream.calls.length;
      await stage.survive(async () => {
        const peer = await stage.connect();
        for (const request of [
          [...requestFields(path), ...fields],
          [...fields, ...requestFields(path)],
        ]) {
          const stream = await send(peer, request);
          expect(stream.reset ?? stream.field(":status")).toBeOneOf([1, "400"]);
        }
        expect(peer.closed).toBe(false);
        expect((await call(peer, path)).status).toBe(0);
      });
      expect(upstream.calls.length).toBe(calls + 1);
    });
  }

  const hopByHop: FieldPair[][] = [
    [
      ["connection", "x-a"],
      ["x-a", "listed"],
    ],
    [["keep-alive", "timeout=5"]],
    [["proxy-connection", "keep-alive"]],
    [["transfer-encoding", "chunked"]],
    [["upgrade", "h2c"]],
    [["te", "gzip"]],
    [["http2-settings", "AAMAAABk"]],
  ];
  for (const fields of hopByHop) {
    const [name, value] = fields[0]!;
    check(`C2 ${name}: ${value} is refused or stripped, and no upstream sees it`, async () => {
      const peer = await stage.connect();
      const calls = upstream.calls.length;
      const stream = await send(peer, [...requestFields(path), ...fields]);
      const seen = upstream.calls.slice(calls);
      if (seen.length === 0) expect(stream.reset ?? stream.field(":status")).toBeOneOf([1, "400"]);
      for (const { headers } of seen) {
        expect(headers.filter((field) => field[0] !== "te" && fields.some(([listed]) => listed === field[0]))).toEqual(
          [],
        );
        expect(headers.filter((field) => field[0] === "te")).toEqual([["te", "trailers"]]);
      }
      expect(peer.closed).toBe(false);
    });
  }

  check("C2 the same fields from an upstream do not reach the client", async () => {
    const peer = await stage.connect();
    for (const fields of hopByHop) {
      upstream.handle(path, (stream) => {
        const answer: FieldPair[] = [[":status", "200"], ["content-type", "application/grpc"], ...fields];
        stream.sendHeaders([...answer, ["grpc-status", "0"]], { end: true });
      });
      const { stream } = await call(peer, path);
      const names = stream.headers.map(([name]) => name);
      expect(names.filter((name) => fields.some(([listed]) => listed === name))).toEqual([]);
      expect(peer.closed).toBe(false);
    }
    upstream.handle(path, (stream) => stream.sendReset(8));
  });

  check("C2 host stands for a missing :authority", async () => {
    const peer = await stage.connect();
    const request = requestFields(path, [["host", "by-host.example"]]).filter(([name]) => name !== ":authority");
    await send(peer, request);
    const seen = upstream.calls.at(-1)!;
    expect(seen.field(":authority")).toBe("by-host.example");
    expect(seen.field("host")).toBeUndefined();
  });

  const paths = [
    `/${service}/../manifold.test.Secret/Get`,
    `/manifold.test.Secret/../${service}/Get`,
    `/${service}//Get`,
    `//${service}/Get`,
    `/${service}/%2e%2e/manifold.test.Secret/Get`,
    `/${service}%2FGet`,
    `/${service}/Get%2F..%2F..%2Fmanifold.test.Secret%2FGet`,
    `/${service}/Get?q=1`,
    `/${service}/Get#f`,
    `/${service}/`,
    `/${service}`,
    `/${service.toUpperCase()}/Get`,
    `/manifold.test.Open%20/Get`,
    "/",
    "*",
    `/${service}/${"a".repeat(8 << 10)}`,
    `http://other.example/${service}/Get`,
  ];
  for (const odd of paths) {
    check(`C5 path ${odd.slice(0, 60)} is matched and passed as its exact bytes, or refused`, async () => {
      const calls = upstream.calls.length;
      const peer = await stage.connect();
      upstream.handle(odd, (stream) => stream.sendReset(8));
      const stream = await send(peer, requestFields(odd));
      expect(stream.field("grpc-status")).not.toBe("0");
      for (const seen of upstream.calls.slice(calls)) {
        expect(seen.field(":path")).toBe(odd);
        expect(odd.split("/")).toHaveLength(3);
        expect(odd.split("/")[1]).toBe(service);
      }
      expect(peer.closed).toBe(false);
    });
  }
});
