import { ConnectError } from "@connectrpc/connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field } from "../../src/http2/field.ts";
import {
  decodeStatus,
  encodeStatus,
  fieldsOfStatus,
  type RpcStatus,
  statusOfFields,
} from "../../src/wire/rpc-status.ts";

const read = (list: readonly (readonly [string, string])[]) =>
  statusOfFields(list.map(([name, value]) => new Field(name, value)));

/** grpc-status-details-bin of a google.rpc.Status. */
const details = (status: RpcStatus) => Buffer.from(encodeStatus(status)).toString("base64");

const retryInfo = { type: "google.rpc.RetryInfo", value: Uint8Array.of(10, 0) };

const status: fc.Arbitrary<RpcStatus> = fc.record({
  code: fc.integer({ min: 1, max: 16 }),
  message: fc.string({ unit: "grapheme" }),
  details: fc.array(fc.record({ type: fc.stringMatching(/^[a-z.A-Z]{1,20}$/), value: fc.uint8Array() }), {
    maxLength: 3,
  }),
});

describe("statusOfFields()", () => {
  it("is undefined without grpc-status", () => {
    expect(read([["grpc-message", "x"]])).toBeUndefined();
  });

  it.each([
    ["success", [["grpc-status", "0"]], { code: 0, message: "" }],
    ["a bare code", [["grpc-status", "5"]], { code: 5, message: "" }],
    ["a code nobody knows", [["grpc-status", "99"]], { code: 99, message: "" }],
    ["no number", [["grpc-status", "x"]], { code: 2, message: "" }],
    [
      "an encoded message",
      [
        ["grpc-status", "3"],
        ["grpc-message", "50%25 %C3%BC"],
      ],
      { code: 3, message: "50% ü" },
    ],
    [
      "bad escapes",
      [
        ["grpc-status", "3"],
        ["grpc-message", "%zz"],
      ],
      { code: 3, message: "%zz" },
    ],
  ] as const)("reads %s", (_what, fields, expected) => {
    expect(read(fields)).toEqual({ ...expected, details: [] });
  });

  it("believes grpc-status and not the code in the details", () => {
    const bytes = details({ code: 0, message: "fine", details: [retryInfo] });
    const fields = [
      ["grpc-status", "13"],
      ["grpc-message", "broken"],
      ["grpc-status-details-bin", bytes],
    ] as const;
    expect(read(fields)).toEqual({ code: 13, message: "broken", details: [retryInfo] });
  });

  it("takes the message of the details where there is no other", () => {
    const bytes = details({ code: 5, message: "no such node", details: [] });
    expect(
      read([
        ["grpc-status", "5"],
        ["grpc-status-details-bin", bytes],
      ])?.message,
    ).toBe("no such node");
  });

  it("leaves success what it is, whatever the details", () => {
    const bytes = details({ code: 5, message: "no", details: [retryInfo] });
    expect(
      read([
        ["grpc-status", "0"],
        ["grpc-status-details-bin", bytes],
      ]),
    ).toEqual({ code: 0, message: "", details: [] });
  });

  it.each(["!", "A", "Gg", "GgUK/////w8", "CAE=garbage"])("leaves out details that are %j", (bytes) => {
    expect(
      read([
        ["grpc-status", "5"],
        ["grpc-message", "m"],
        ["grpc-status-details-bin", bytes],
      ]),
    ).toEqual({
      code: 5,
      message: "m",
      details: [],
    });
  });

  it("reads what Connect's own library writes", () => {
    fc.assert(
      fc.property(status, (wanted) => {
        const error = new ConnectError(wanted.message, wanted.code);
        error.details = wanted.details.map(({ type, value }) => ({ type, value }));
        expect(read([...setTrailerStatus(new Headers(), error)])).toEqual(wanted);
      }),
    );
  });
});

describe("fieldsOfStatus()", () => {
  it("writes what Connect's own library reads", () => {
    fc.assert(
      fc.property(status, (written) => {
        const headers = new Headers(fieldsOfStatus(written).map(({ name, value }) => [name, value]));
        const error = findTrailerError(headers)!;
        expect({ code: error.code, message: error.rawMessage }).toEqual({
          code: written.code,
          message: written.message,
        });
        expect(error.details).toEqual(written.details);
      }),
    );
  });

  it("writes no more than there is", () => {
    expect(fieldsOfStatus({ code: 0, message: "", details: [] }).map(({ name }) => name)).toEqual(["grpc-status"]);
  });
});

describe("decodeStatus()", () => {
  it("reads what was written, also codes that gRPC doesn't know", () => {
    for (const code of [0, 1, 99, -1]) {
      const whole = { code, message: "m", details: [retryInfo, { type: "a.B", value: new Uint8Array(0) }] };
      expect(decodeStatus(encodeStatus(whole))).toEqual(whole);
    }
  });

  it("throws nothing but errors, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        try {
          decodeStatus(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });
});
