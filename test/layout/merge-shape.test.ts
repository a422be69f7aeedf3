import { describe, expect, it } from "vitest";
import { siderolabs as siderolabsFields, talos as talosFields } from "../../src/layout/merge-fields.ts";
import { mergeProblems } from "../../src/layout/merge-shape.ts";
import { link, message, siderolabs, talos } from "./messages.ts";

const metadata = message("Metadata", { "string hostname": 99, "string upstream_error": 100 });
const element = message("Element", { "test.Metadata metadata": 99, "string value": 1 });

describe("mergeProblems()", () => {
  it.each([
    ["grpc-proxy's", siderolabs, siderolabsFields],
    ["Talos'", talos, talosFields],
  ] as const)("has none with %s messages", (_whose, types, fields) => {
    expect(mergeProblems(types("Reply"), false, fields)).toEqual([]);
    expect(mergeProblems(types("Element"), true, fields)).toEqual([]);
  });

  it.each([
    ["string text", 'field "text" of test.Reply is singular'],
    ["test.Element text", 'field "text" of test.Reply is singular'],
    ["repeated string text", 'field "text" of test.Reply is a list of no messages'],
    ["repeated test.Metadata text", 'field "hostname" of test.Metadata is no singular message'],
  ])("tells a reply with %s at its top", (field, why) => {
    const types = link(metadata, element, message("Reply", { "repeated test.Element response": 1, [field]: 2 }));
    const problems = mergeProblems(types("Reply"), false, siderolabsFields);
    expect(problems).toHaveLength(1);
    expect(problems[0]!.message).toContain(why);
  });

  it("tells a reply that has no place for failed legs", () => {
    const types = link(metadata, element, message("Reply", { "repeated test.Element response": 2 }));
    const [problem, ...others] = mergeProblems(types("Reply"), false, siderolabsFields);
    expect(problem).toEqual({
      where: types("Reply"),
      message: "test.Reply has no field 1, where failed legs go",
    });
    expect(others).toEqual([]);
  });

  it.each([
    [{ "string value": 1 }, "test.Element has no field 99 for its metadata"],
    [{ "string metadata": 99 }, 'field "metadata" of test.Element is no singular message'],
    [{ "repeated test.Metadata metadata": 99 }, 'field "metadata" of test.Element is no singular message'],
  ])("tells an element %j", (fields, why) => {
    const types = link(metadata, message("Element", fields), message("Reply", { "repeated test.Element response": 1 }));
    for (const [type, stream] of [["Reply", false] as const, ["Element", true] as const]) {
      expect(mergeProblems(types(type), stream, siderolabsFields).map((one) => one.message)).toEqual([
        expect.stringContaining(why),
      ]);
    }
  });

  it("tells metadata without a place for a name or an error", () => {
    const types = link(element, message("Metadata", { "int32 hostname": 99 }));
    expect(mergeProblems(types("Element"), true, siderolabsFields).map((one) => one.message)).toEqual([
      'field "hostname" of test.Metadata has to be a string: it is for the name of the endpoint',
      "test.Metadata has no field 100 for the error",
    ]);
  });

  it("tells a status of another type", () => {
    const types = link(
      message("Metadata", { "string hostname": 1, "string error": 2, "test.Element status": 3 }),
      message("Element", { "test.Metadata metadata": 1 }),
    );
    expect(mergeProblems(types("Element"), true, talosFields).map((one) => one.message)).toEqual([
      'field "status" of test.Metadata has to be a google.rpc.Status: it is for the status',
    ]);
  });
});
