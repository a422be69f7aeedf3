/** What upstreams answer wrongly or oddly: rows B5, B7, B8, C1 (upstream's side) and F3 of the table of faults. Envoy fails them all. */
import { afterAll, beforeAll, expect } from "vitest";
import { call, envelope, requestFields, untilBytes } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { echo, reply, startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, onRuntime } from "./suite.ts";

const path = "/manifold.test.Replies/Get";
const echoPath = "/manifold.test.Replies/Echo";
const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const three = Buffer.concat([1, 2, 3].map((number) => envelope(Buffer.from([number]))));

onRuntime("replies", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ handlers: { [echoPath]: echo } });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  /** One call to `path`, while a call beside it on the same upstream connection waits, and must then end well. */
  async function callBesideSibling(): ReturnType<typeof call> {
    const peer = await stage.connect();
    const sibling = peer.open(requestFields(echoPath));
    sibling.sendData(envelope(Buffer.from("one")));
    await untilBytes(sibling, 8);
    const result = await call(peer, path);
    sibling.sendData(envelope(Buffer.from("two")), { end: true });
    await sibling.finished;
    expect(sibling.field("grpc-status", "trailers"), "status of the sibling").toBe("0");
    expect(peer.closed).toBe(false);
    return result;
  }

  check("B5 a reply that ends without trailers gives its messages, then a status that is not 0", async () => {
    upstream.handle(path, (stream) => {
      stream.sendHeaders(okHeaders);
      stream.sendData(three, { end: true });
    });
    await stage.survive(async () => {
      const result = await callBesideSibling();
      expect(result.messages?.map(({ bytes }) => bytes[0])).toEqual([1, 2, 3]);
      expect(result.status).toBeOneOf([13, 14]);
    });
  });

  check("B5 a reply that is reset after 3 messages gives them, then a status that is not 0", async () => {
    upstream.handle(path, (stream) => {
      stream.sendHeaders(okHeaders);
      stream.sendData(three);
      stream.sendReset(2);
    });
    await stage.survive(async () => {
      const result = await callBesideSibling();
      expect(result.messages?.map(({ bytes }) => bytes[0])).toEqual([1, 2, 3]);
      expect(result.status).toBe(13);
    });
  });

  check("a flood of interim responses ends its own call, after a few have passed", async () => {
    upstream.handle(path, (stream) => {
      for (let count = 0; count < 50_000; count++) stream.sendHeaders([[":status", "103"]]);
      stream.sendHeaders([...okHeaders, ["grpc-status", "0"]], { end: true });
    });
    await stage.survive(async () => {
      const result = await callBesideSibling();
      expect(result.status).toBe(13);
    });
  });

  check("B5 a reply that is cut with its connection gives its messages, then unavailable", async () => {
    upstream.handle(path, async (stream, { peer }) => {
      stream.sendHeaders(okHeaders);
      stream.sendData(three);
      await peer.ping(); // the three have been read
      peer.socket.destroy();
    });
    await stage.survive(async () => {
      const peer = await stage.connect();
      const result = await call(peer, path);
      expect(result.messages?.map(({ bytes }) => bytes[0])).toEqual([1, 2, 3]);
      expect(result.status).toBeOneOf([13, 14]);
      expect(peer.closed).toBe(false);
    });
  });

  check("B7 a reply of HTTP without grpc-status becomes the status of the map", async () => {
    const map = { 200: 2, 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 500: 2, 418: 2 };
    await stage.survive(async () => {
      for (const [status, code] of Object.entries(map)) {
        upstream.handle(path, (stream) => {
          stream.sendHeaders([
            [":status", status],
            ["content-type", "text/html"],
          ]);
          stream.sendData(Buffer.from("<h1>not gRPC</h1>"), { end: true });
        });
        const result = await callBesideSibling();
        expect(result.status, `status for HTTP ${status}`).toBe(code);
      }
    });
  });

  const messages = ["50% off %", "%zz", "%0d%0aset-cookie:x", "\xc3\xa4\xe2\x82\xac raw", "m".repeat(15 << 10)];
  for (const message of messages) {
    const shown = message.length > 50 ? "15 KiB" : JSON.stringify(message);
    check(`B8 grpc-message ${shown} and details with code 0 pass byte for byte`, async () => {
      const said: FieldPair[] = [
        ["grpc-status", "13"],
        ["grpc-message", message],
        ["grpc-status-details-bin", "CAASBW5vdCAw"],
      ];
      await stage.survive(async () => {
        upstream.handle(path, reply({ body: three, trailers: said }));
        expect((await callBesideSibling()).stream.trailers).toEqual(said);
        upstream.handle(path, trailersOnly(13, said.slice(1)));
        const { stream } = await callBesideSibling();
        expect(stream.endedByHeaders, "Trailers-Only stays one HEADERS frame").toBe(true);
        expect(stream.headers.slice(-3)).toEqual(said);
      });
    });
  }

  const malformed: [string, FieldPair[]][] = [
    ["CR LF in a value", [["x-bad", "a\r\nset-cookie: b"]]],
    ["LF in a value", [["x-bad", "a\nb"]]],
    ["NUL in a value", [["x-bad", "a\0b"]]],
    ["CR in a name", [["x-b\rad", "a"]]],
    ["a space in a name", [["x bad", "a"]]],
    ["an upper-case name", [["X-Bad", "a"]]],
    ["a pseudo-header of a request", [[":path", "/a/b"]]],
  ];
  for (const [what, fields] of malformed) {
    check(`C1 ${what} from an upstream, in headers or trailers, ends that stream only`, async () => {
      await stage.survive(async () => {
        for (const headersOrTrailers of ["headers", "trailers"] as const) {
          const headers = headersOrTrailers === "headers" ? [...okHeaders, ...fields] : okHeaders;
          const trailers: FieldPair[] = [["grpc-status", "0"], ...(headersOrTrailers === "trailers" ? fields : [])];
          upstream.handle(path, reply({ headers, body: three, trailers }));
          const open = upstream.connections.filter(({ peer }) => !peer.closed);
          const { stream, status } = await callBesideSibling();
          expect(status, `status after bad ${headersOrTrailers}`).not.toBe(0);
          expect([...stream.headers, ...(stream.trailers ?? [])].flat().join()).not.toMatch(/bad|cookie/i);
          expect(open.filter(({ peer }) => peer.closed)).toEqual([]);
        }
      });
    });
  }

  const codes = { 7: 14, 8: 1, 11: 8, 2: 13, 12: 7, 1: 13, 5: 13 };
  for (const [reset, status] of Object.entries(codes)) {
    check(`F3 RST_STREAM ${reset} from an upstream becomes status ${status}`, async () => {
      upstream.handle(path, (stream) => stream.sendReset(Number(reset)));
      await stage.survive(async () => {
        const result = await callBesideSibling();
        expect(result.status).toBe(status);
      });
    });
  }
});
