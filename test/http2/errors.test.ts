/** The error that ends a connection. */
import { expect, it } from "vitest";
import { ConnectionError, ErrorCode } from "../../src/http2/errors.ts";

it("ConnectionError walks no stack, and leaves the limit for others as it was", () => {
  const limit = Error.stackTraceLimit;
  const error = new ConnectionError(ErrorCode.protocolError, "WINDOW_UPDATE of 0");
  expect(error.stack ?? "").not.toContain("errors.test.ts");
  expect(Error.stackTraceLimit).toBe(limit);
  expect(new Error("another").stack).toContain("errors.test.ts");
});
