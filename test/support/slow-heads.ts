/** Heads of requests that don't come to their end: row D1 of the table of faults. */
import { protocolFields } from "./callers.ts";
import { Flag, FrameType, frame, preface, settingsFrame } from "./frames.ts";
import { requestFields } from "./grpc.ts";
import { encodeBlock } from "./hpack.ts";
import { Http1Call, http1Request } from "./http1-call.ts";
import { sleep } from "./until.ts";

export interface SlowHead {
  what: string;
  /** Sent at once. */
  first: Buffer;
  /** Sent byte by byte behind it. */
  slow: Buffer;
  /** Which of Manifold's limits ends it. */
  limit: "preface" | "header" | "keepAlive";
  /** The answer over HTTP/1.1. */
  status?: string;
  /** It has a whole request in front. */
  answered?: boolean;
}

export function slowHeads(path: string): SlowHead[] {
  const headers = frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, encodeBlock(requestFields(path)));
  const continued = frame(FrameType.headers, 0, 1, encodeBlock(requestFields(path)));
  const hello = Buffer.concat([preface, settingsFrame([])]);
  const good = http1Request(`POST ${path}`, protocolFields("connect unary", {}), "hello");
  const head = http1Request(`POST ${path}`, protocolFields("connect unary", {})).subarray(0, -2);
  const none = Buffer.alloc(0);
  const field = Buffer.from("X-Slow: 12345678901234567890");
  const late = { limit: "header", status: "408" } as const;
  return [
    { what: "nothing", first: none, slow: none, limit: "preface" },
    { what: "half a preface", first: preface.subarray(0, 12), slow: none, limit: "preface" },
    { what: "a preface, a byte at a time", first: none, slow: preface, limit: "preface" },
    { what: "a preface without SETTINGS", first: preface, slow: none, limit: "preface" },
    {
      what: "half of a frame of HEADERS",
      first: Buffer.concat([hello, headers.subarray(0, 20)]),
      slow: none,
      limit: "header",
    },
    { what: "HEADERS, a byte at a time", first: hello, slow: headers, limit: "header" },
    {
      what: "HEADERS without their CONTINUATION",
      first: Buffer.concat([hello, continued]),
      slow: none,
      limit: "header",
    },
    { what: "half a request line", first: Buffer.from("POST /a"), slow: none, limit: "preface" },
    { what: "a request line, a byte at a time", first: none, slow: head, limit: "preface" },
    { what: "half a header section", first: head, slow: none, ...late },
    { what: "a header section, a byte at a time", first: head, slow: field, ...late },
    { what: "a second header section, a byte at a time", first: good, slow: head, ...late, answered: true },
    {
      what: "nothing behind a first request",
      first: good,
      slow: none,
      limit: "keepAlive",
      status: "200",
      answered: true,
    },
  ];
}

/** Begins one, and sends its bytes at this pace until the other side closes. What comes may be HTTP/2's. */
export function sendSlowHead(port: number, { first, slow }: SlowHead, everyMs: number): Http1Call {
  const call = new Http1Call(port, first);
  const trickle = async () => {
    for (let at = 0; !call.closed && at < slow.length; at++) {
      call.send(slow.subarray(at, at + 1));
      await sleep(everyMs);
    }
  };
  void trickle();
  return call;
}
