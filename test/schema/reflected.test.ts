import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ReflectedSchema } from "../../src/schema/reflected.ts";
import type { ReflectionCall } from "../../src/schema/reflection.ts";
import { file, message, method, service } from "./descriptors.ts";

/** An upstream whose one service has the methods of `methods`, and which can fail; and the clock. */
class Stage {
  now = 0;
  methods = ["A"];
  error: ConnectError | undefined;
  /** Times that it was asked for its services: one for each refresh. */
  refreshes = 0;
  readonly stale: ConnectError[] = [];
  /** Set to hold answers back. */
  gate: Promise<void> = Promise.resolve();
  readonly schema = new ReflectedSchema((...args) => this.#call(...args), {
    minIntervalMs: 5_000,
    retryMs: 1_000,
    maxAgeMs: 300_000,
    onStale: (error) => this.stale.push(error),
    now: () => this.now,
  });

  readonly #call: ReflectionCall = async (_path, messages) => {
    const questions = messages.map((bytes) => fromBinary(ServerReflectionRequestSchema, bytes).messageRequest.case);
    if (questions[0] === "listServices") this.refreshes++;
    await this.gate;
    if (this.error !== undefined) throw this.error;
    const proto = file("s.proto", {
      package: "s",
      messageType: [message("In", {})],
      service: [service("S", ...this.methods.map((name) => method(name, "s.In -> s.In")))],
    });
    return questions.map((kind) =>
      toBinary(
        ServerReflectionResponseSchema,
        create(ServerReflectionResponseSchema, {
          messageResponse:
            kind === "listServices"
              ? { case: "listServicesResponse", value: { service: [{ name: "s.S" }] } }
              : {
                  case: "fileDescriptorResponse",
                  value: { fileDescriptorProto: [toBinary(FileDescriptorProtoSchema, proto)] },
                },
        }),
      ),
    );
  };

  /** Waits until nothing is under way. */
  async settle(): Promise<void> {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  }
}

const unavailable = new ConnectError("nobody there", Code.Unavailable);

describe("ReflectedSchema", () => {
  it("asks nothing before it is needed, then once, and knows from then on at once", async () => {
    const stage = new Stage();
    expect(stage.refreshes).toBe(0);
    expect(await stage.schema.method("/s.S/A")).toMatchObject({ path: "/s.S/A", kind: "unary" });
    expect(stage.schema.method("/s.S/A")).toMatchObject({ path: "/s.S/A" });
    expect(stage.refreshes).toBe(1);
  });

  it("asks once for all that wait", async () => {
    const stage = new Stage();
    const paths = ["/s.S/A", "/s.S/A", "/s.S/B", "/t.T/A"];
    const found = await Promise.all(paths.map((path) => stage.schema.method(path)));
    expect(found.map((each) => each?.path)).toEqual(["/s.S/A", "/s.S/A", undefined, undefined]);
    expect(stage.refreshes).toBe(1);
  });

  it("asks again for a method that it doesn't know, but not more often than it may", async () => {
    const stage = new Stage();
    await stage.schema.method("/s.S/A");
    stage.methods = ["A", "B"];
    for (stage.now = 0; stage.now < 5_000; stage.now += 100) expect(stage.schema.method("/s.S/B")).toBeUndefined();
    expect(stage.refreshes).toBe(1);
    expect(await stage.schema.method("/s.S/B")).toMatchObject({ path: "/s.S/B" });
    expect(stage.refreshes).toBe(2);
    expect(stage.schema.method("/s.S/C")).toBeUndefined();
    expect(stage.refreshes).toBe(2);
  });

  it("lets calls of known methods pass while it asks for others", async () => {
    const stage = new Stage();
    await stage.schema.method("/s.S/A");
    stage.now = 6_000;
    let open = () => {};
    stage.gate = new Promise((resolve) => {
      open = resolve;
    });
    const waiting = stage.schema.method("/s.S/B");
    expect(stage.schema.method("/s.S/A")).toMatchObject({ path: "/s.S/A" });
    open();
    expect(await waiting).toBeUndefined();
  });

  it("has an old schema asked for again behind the back of the call that finds it so", async () => {
    const stage = new Stage();
    await stage.schema.method("/s.S/A");
    stage.methods = ["A", "B"];
    stage.now = 300_000;
    expect(stage.schema.method("/s.S/A")).toMatchObject({ path: "/s.S/A" });
    await stage.settle();
    expect(stage.refreshes).toBe(2);
    expect(stage.schema.method("/s.S/B")).toMatchObject({ path: "/s.S/B" });
  });

  it("keeps what it has when a refresh fails, and says so", async () => {
    const stage = new Stage();
    await stage.schema.method("/s.S/A");
    stage.error = unavailable;
    stage.now = 300_000;
    expect(await stage.schema.method("/s.S/B")).toBeUndefined();
    expect(stage.schema.method("/s.S/A")).toMatchObject({ path: "/s.S/A" });
    expect(stage.stale.map(({ code }) => code)).toEqual([Code.Unavailable]);
  });

  it("drops methods that are gone", async () => {
    const stage = new Stage();
    await stage.schema.method("/s.S/A");
    stage.methods = ["B"];
    stage.now = 5_000;
    expect(await stage.schema.method("/s.S/B")).toBeDefined();
    expect(stage.schema.method("/s.S/A")).toBeUndefined();
  });

  it("fails calls while there is no schema, and tries again soon", async () => {
    const stage = new Stage();
    stage.error = unavailable;
    await expect(stage.schema.method("/s.S/A")).rejects.toMatchObject({ code: Code.Unavailable });
    stage.now = 999;
    await expect(stage.schema.method("/s.S/A")).rejects.toThrow("can't be had by reflection: nobody there");
    expect(stage.refreshes).toBe(1);
    stage.now = 1_000;
    stage.error = undefined;
    expect(await stage.schema.method("/s.S/A")).toBeDefined();
    expect(stage.stale).toEqual([]);
  });

  it("says of an upstream without reflection how else to give a schema", async () => {
    const stage = new Stage();
    stage.error = new ConnectError("unknown service", Code.Unimplemented);
    await expect(stage.schema.method("/s.S/A")).rejects.toMatchObject({
      code: Code.Unimplemented,
      rawMessage: expect.stringContaining("image"),
    });
  });
});
