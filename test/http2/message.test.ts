import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { checkRequest, checkResponse, checkTrailers } from "../../src/http2/message.ts";
import { settle } from "./memory-socket.ts";
import { ask, dataFrame, Flag, headersFrame, startClient } from "./raw-peer.ts";
import { fieldsOf, type Pairs, request } from "./recorder.ts";

const both = Flag.endHeaders | Flag.endStream;
const without = (name: string) => request.filter(([known]) => known !== name);

describe("checkRequest()", () => {
  it.each<[what: string, Pairs, contentLength: number]>([
    ["a request", request, -1],
    ["one without :authority", without(":authority"), -1],
    ["pseudo-headers in any order", [...request].reverse(), -1],
    ["te: trailers", [...request, ["te", "trailers"]], -1],
    ["content-length", [...request, ["content-length", "15"]], 15],
    ["the same content-length twice", [...request, ["content-length", "15"], ["content-length", "15"]], 15],
    [
      "CONNECT",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
      ],
      -1,
    ],
    ["bytes above 0x7f in a value", [...request, ["x-a", "\xe4\xff"]], -1],
    ["an empty value", [...request, ["x-a", ""]], -1],
    ["every character of a token in a name", [...request, ["!#$%&'*+-.^_`|~09az", "v"]], -1],
  ])("takes %s", (_, pairs, contentLength) => {
    expect(checkRequest(fieldsOf(pairs))).toEqual({ contentLength, status: 0 });
  });

  it.each<[what: string, Pairs, fault: string | RegExp]>([
    ["no :method", without(":method"), /missing/],
    ["no :scheme", without(":scheme"), /missing/],
    ["no :path", without(":path"), /missing/],
    ["an empty list", [], /missing/],
    ["an empty :path", [...without(":path"), [":path", ""]], "empty :path"],
    ["two :path", [...request, [":path", "/b"]], "two :path fields"],
    ["two :authority", [...request, [":authority", "b"]], "two :authority fields"],
    ["an unknown pseudo-header", [...request, [":protocol", "websocket"]], 'malformed field ":protocol"'],
    [":status", [...request, [":status", "200"]], ":status in a request"],
    [
      "a pseudo-header after a regular field",
      [["x-a", "b"], ...request],
      "pseudo-header :method after a regular field",
    ],
    ["CONNECT with :path", [...request.slice(2), [":method", "CONNECT"]], ":scheme or :path in a CONNECT request"],
    ["CONNECT without :authority", [[":method", "CONNECT"]], /missing/],
    ["an upper-case name", [...request, ["X-a", "b"]], 'malformed field "X-a"'],
    ["a space in a name", [...request, ["x a", "b"]], 'malformed field "x a"'],
    ["a colon in a name", [...request, ["x:a", "b"]], 'malformed field "x:a"'],
    ["an empty name", [...request, ["", "b"]], 'malformed field ""'],
    ["a byte above 0x7f in a name", [...request, ["x-\xe4", "b"]], /malformed/],
    ["CR in a value", [...request, ["x-a", "b\r"]], 'malformed field "x-a"'],
    ["LF in a value", [...request, ["x-a", "\nb"]], 'malformed field "x-a"'],
    ["NUL in a value", [...request, ["x-a", "b\0c"]], 'malformed field "x-a"'],
    ["LF in :path", [...without(":path"), [":path", "/a\nb"]], 'malformed field ":path"'],
    ["connection", [...request, ["connection", "x-a"]], "connection-specific field connection"],
    ["keep-alive", [...request, ["keep-alive", "1"]], "connection-specific field keep-alive"],
    ["proxy-connection", [...request, ["proxy-connection", "a"]], "connection-specific field proxy-connection"],
    [
      "transfer-encoding",
      [...request, ["transfer-encoding", "chunked"]],
      "connection-specific field transfer-encoding",
    ],
    ["upgrade", [...request, ["upgrade", "h2c"]], "connection-specific field upgrade"],
    ["te: gzip", [...request, ["te", "gzip"]], 'te other than "trailers"'],
    ["two content-lengths", [...request, ["content-length", "1"], ["content-length", "2"]], /two content-length/],
    ["content-length -1", [...request, ["content-length", "-1"]], 'content-length "-1"'],
    ["content-length +1", [...request, ["content-length", "+1"]], 'content-length "+1"'],
    ["content-length 1, 1", [...request, ["content-length", "1, 1"]], 'content-length "1, 1"'],
    ["an empty content-length", [...request, ["content-length", ""]], 'content-length ""'],
    ["content-length beyond what a number holds", [...request, ["content-length", "9".repeat(16)]], /content-length/],
  ])("refuses %s", (_, pairs, fault) => {
    expect(checkRequest(fieldsOf(pairs)).fault).toMatch(fault);
  });
});

describe("checkResponse()", () => {
  it.each<[Pairs, { contentLength: number; status: number }]>([
    [[[":status", "200"]], { contentLength: -1, status: 200 }],
    [
      [
        [":status", "999"],
        ["x-a", "b"],
      ],
      { contentLength: -1, status: 999 },
    ],
    [
      [
        [":status", "103"],
        ["link", "a"],
      ],
      { contentLength: -1, status: 103 },
    ],
    [
      [
        [":status", "200"],
        ["content-length", "0"],
      ],
      { contentLength: 0, status: 200 },
    ],
  ])("takes %j", (pairs, head) => {
    expect(checkResponse(fieldsOf(pairs))).toEqual(head);
    expect(checkResponse(fieldsOf(pairs))).toEqual(head);
  });

  it.each<[Pairs, fault: string | RegExp]>([
    [[], "no :status"],
    [
      [
        ["x-a", "b"],
        [":status", "200"],
      ],
      "no :status",
    ],
    [
      [
        [":status", "200"],
        [":status", "200"],
      ],
      "pseudo-header :status in a response",
    ],
    [
      [
        [":status", "200"],
        [":path", "/"],
      ],
      "pseudo-header :path in a response",
    ],
    [[[":status", "20"]], ':status "20"'],
    [[[":status", "099"]], ':status "099"'],
    [[[":status", "2000"]], ':status "2000"'],
    [[[":status", "+20"]], ':status "+20"'],
    [[[":status", "101"]], ':status "101"'],
    [
      [
        [":status", "200"],
        ["connection", "close"],
      ],
      "connection-specific field connection",
    ],
    [
      [
        [":status", "200"],
        ["x-a", "b\r\nset-cookie: c"],
      ],
      'malformed field "x-a"',
    ],
    [
      [
        [":status", "200"],
        ["content-length", "x"],
      ],
      'content-length "x"',
    ],
  ])("refuses %j", (pairs, fault) => {
    expect(checkResponse(fieldsOf(pairs)).fault).toMatch(fault);
  });
});

describe("checkTrailers()", () => {
  it.each<[Pairs, string | undefined]>([
    [[], undefined],
    [
      [
        ["grpc-status", "0"],
        ["x-bin", "AAE"],
      ],
      undefined,
    ],
    [[[":status", "200"]], "pseudo-header :status in trailers"],
    [[[":unknown", "200"]], "pseudo-header :unknown in trailers"],
    [[["connection", "x"]], "connection-specific field connection"],
    [[["grpc-message", "a\nb"]], 'malformed field "grpc-message"'],
  ])("says of %j: %s", (pairs, fault) => {
    expect(checkTrailers(fieldsOf(pairs))).toBe(fault);
  });
});

describe("content-length of a response", () => {
  const length = (status: string): Pairs => [
    [":status", status],
    ["content-length", "5"],
  ];

  it.each<[what: string, Pairs, string[]]>([
    ["to HEAD", [[":method", "HEAD"], ...without(":method")], [expect.stringMatching(/^headers :status=200.* end$/)]],
    ["to POST", request, ["reset 1 malformed"]],
  ])("%s promises a body or doesn't", async (_, pairs, events) => {
    const { connection, peer } = await startClient();
    const recorder = ask(connection, true, pairs);
    await peer.send(headersFrame(1, length("200"), both));
    expect(recorder.events).toEqual(events);
  });

  it.each(["204", "304"])("promises nothing with status %s", async (status) => {
    const { connection, peer } = await startClient();
    const recorder = ask(connection);
    await peer.send(headersFrame(1, length(status), both));
    expect(recorder.events).toEqual([`headers :status=${status} content-length=5 end`]);
  });

  it("counts what comes in many frames", async () => {
    const { connection, peer } = await startClient();
    const [right, short] = [ask(connection), ask(connection)];
    await peer.send(headersFrame(1, length("200")), dataFrame(1, "abc"), dataFrame(1, "de", Flag.endStream));
    await peer.send(headersFrame(3, length("200")), dataFrame(3, "abc"), dataFrame(3, "", Flag.endStream));
    expect(right.events.at(-1)).toBe("end");
    expect(short.events.at(-1)).toBe("reset 1 malformed");
  });
});

describe("interim responses", () => {
  it.each<[what: string, head: Pairs, passed: number]>([
    ["small ones", [[":status", "100"]], 16],
    [
      "large ones",
      [
        [":status", "103"],
        ["link", "x".repeat(5_000)],
      ],
      3,
    ],
  ])("end their stream alone where there are too many %s", async (_what, head, passed) => {
    const { connection, peer } = await startClient();
    const [flooded, other] = [ask(connection), ask(connection)];
    await peer.send(...Array.from({ length: passed }, () => headersFrame(1, head)));
    expect(flooded.events).toHaveLength(passed);
    await peer.send(headersFrame(1, head), headersFrame(1, head), headersFrame(3, head));
    expect(flooded.events.slice(passed)).toEqual(["reset 11 malformed"]);
    expect(peer.resets(1)).toEqual([ErrorCode.enhanceYourCalm]);
    expect(other.events).toHaveLength(1);
    expect(connection.closed).toBe(false);
  });

  it("are told before the response", async () => {
    const { connection, peer } = await startClient();
    const recorder = ask(connection);
    await peer.send(
      headersFrame(1, [[":status", "100"]]),
      headersFrame(1, [
        [":status", "103"],
        ["link", "a"],
      ]),
    );
    await peer.send(headersFrame(1, [[":status", "200"]]), headersFrame(1, [["grpc-status", "0"]], both));
    await settle();
    expect(recorder.events).toEqual([
      "headers :status=100",
      "headers :status=103 link=a",
      "headers :status=200",
      "trailers grpc-status=0",
    ]);
  });
});
