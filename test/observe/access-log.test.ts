import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AccessLogOptions, createAccessLog } from "../../src/observe/access-log.ts";
import type { CallRecord, HttpRefusalRecord } from "../../src/observe/call-record.ts";
import { fakeCall } from "../upstream/fake-dial.ts";

const record: CallRecord = {
  call: fakeCall(),
  status: 0,
  endpoint: "node-1",
  upstreamProtocol: "grpc",
  requestBytes: 12,
  responseBytes: 1_534,
  durationMs: 1.234_567,
};

function lineOf(changes: Partial<CallRecord>, options: Partial<AccessLogOptions> = {}): string {
  const lines: string[] = [];
  createAccessLog({ write: (line) => lines.push(line), format: "pretty", ...options })({ ...record, ...changes });
  expect(lines).toHaveLength(1);
  return lines[0]!;
}

describe("createAccessLog()", () => {
  it("writes one line for people", () => {
    expect(lineOf({})).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}ok {19}\/acme\.v1\.Users\/Get {2}grpc -> grpc {2}1\.23 ms {2}node-1 {2}12 B -> 1\.5 kB\n$/,
    );
  });

  it("says what went wrong, from the detail where there is one", () => {
    const { endpoint: _, upstreamProtocol: __, ...unreached } = record;
    const lines: string[] = [];
    const log = createAccessLog({ write: (line) => lines.push(line), format: "pretty" });
    log({ ...unreached, status: 14, message: "upstream unavailable", detail: "127.0.0.1:1: refused" });
    log({ ...record, status: 5, message: "no such user" });
    expect(lines[0]).toMatch(
      /unavailable {10}\/acme\.v1\.Users\/Get {2}grpc {2}1\.23 ms {2}- .* {2}127\.0\.0\.1:1: refused\n$/,
    );
    expect(lines[1]).toMatch(/not_found .*no such user\n$/);
  });

  it.each([
    [0, 32],
    [5, 33],
    [14, 31],
    [99, 31],
  ])("paints status %s in colour %s where colours are on", (status, colour) => {
    expect(lineOf({ status }, { colour: true })).toContain(`\x1b[${colour}m`);
    expect(lineOf({ status })).not.toContain("\x1b");
  });

  it.each([
    [0.001, "0.00 ms"],
    [12.3, "12 ms"],
    [3_456, "3.5 s"],
  ])("shows %s ms as %s", (durationMs, shown) => {
    expect(lineOf({ durationMs })).toContain(`  ${shown}  `);
  });

  it("writes JSON with stable keys", () => {
    const line = lineOf({ status: 14, message: "m", detail: "d" }, { format: "json" });
    const { time, ...fields } = JSON.parse(line);
    expect(time).toBeTypeOf("number");
    expect(fields).toEqual({
      level: 30,
      msg: "call",
      status: "unavailable",
      code: 14,
      path: "/acme.v1.Users/Get",
      authority: "users.example",
      protocol: "grpc",
      upstream_protocol: "grpc",
      peer: "127.0.0.1",
      peer_port: 40_000,
      endpoint: "node-1",
      duration_ms: 1.235,
      request_bytes: 12,
      response_bytes: 1_534,
      message: "m",
      detail: "d",
    });
  });

  const refusal: HttpRefusalRecord = {
    peer: { address: "192.0.2.1", port: 4_000 },
    httpStatus: 404,
    message: 'no method at path "/icon"',
    method: "GET",
    path: "/icon",
  };
  const refusalLine = (format: "json" | "pretty", changes: Partial<HttpRefusalRecord> = {}, colour = false) => {
    const lines: string[] = [];
    createAccessLog({ write: (line) => lines.push(line), format, colour })({ ...refusal, ...changes });
    return lines.join();
  };

  it("writes a line for a request that was no call, with what is known of it", () => {
    expect(refusalLine("pretty")).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}HTTP 404 {13}GET \/icon {2}no method at path "\/icon"\n$/,
    );
    expect(refusalLine("pretty", {}, true)).toContain("\x1b[33m");
    const { time, ...fields } = JSON.parse(refusalLine("json", { authority: "a.example" }));
    expect(time).toBeTypeOf("number");
    expect(fields).toEqual({
      level: 30,
      msg: "refused",
      http_status: 404,
      method: "GET",
      path: "/icon",
      authority: "a.example",
      peer: "192.0.2.1",
      peer_port: 4_000,
      message: 'no method at path "/icon"',
    });
    const unreadable: HttpRefusalRecord = { peer: refusal.peer, httpStatus: 400, message: "no colon" };
    const lines: string[] = [];
    createAccessLog({ write: (line) => lines.push(line), format: "pretty" })(unreadable);
    expect(lines[0]).toMatch(/ {2}HTTP 400 {13}- {2}no colon\n$/);
    expect(refusalLine("pretty", { path: "/\x1b[2J\n", method: "G\x00" })).toContain("G\\x00 /\\x1b[2J\\x0a");
  });

  it.each(["json", "pretty"] as const)("lets no caller forge a line or an escape sequence in %s", (format) => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const call = fakeCall({ path: `/S/${text}`, authority: text });
        const line = lineOf(
          { call, message: text, detail: text, endpoint: text, status: 2 },
          { format, colour: false },
        );
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
        expect(line.slice(0, -1)).not.toMatch(/[\0-\x1f\x7f-\x9f\u2028\u2029\u202e]/);
        if (format === "json") expect(JSON.parse(line)).toMatchObject({ authority: text, message: text });
      }),
    );
  });
});
