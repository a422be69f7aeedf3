import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { DemoService } from "../src/gen/manifold/demo/v1/demo_pb.ts";
import type { Routes } from "../src/local/routes.ts";
import { createProxy } from "../src/proxy.ts";
import type { Director } from "../src/route/director.ts";
import { createProxyTransport } from "../src/universal/transport.ts";

const answers =
  (message: string): Director =>
  () => {
    throw new ConnectError(message, Code.Aborted);
  };

const greets =
  (endpoint: string): Routes =>
  (router) => {
    router.service(DemoService, { greet: () => ({ endpoint }) });
  };

describe("proxy.update()", () => {
  const outcome = (call: Promise<{ endpoint: string }>) =>
    call.then(
      ({ endpoint }) => endpoint,
      (error: ConnectError) => error.rawMessage,
    );

  it("decides new calls by the new director and the new local services", async () => {
    const proxy = createProxy({ director: answers("first") });
    const demo = createClient(DemoService, createProxyTransport(proxy));
    expect(await outcome(demo.greet({}))).toBe("first");
    proxy.update({ director: answers("second") });
    expect(await outcome(demo.greet({}))).toBe("second");
    proxy.update({ director: answers("third"), routes: greets("local") });
    expect(await outcome(demo.greet({}))).toBe("local");
    proxy.update({ director: answers("third") });
    expect(await outcome(demo.greet({}))).toBe("third");
  });

  it("lets a call in flight end as it was decided", async () => {
    let decide = () => {};
    const decided = new Promise<void>((resolve) => {
      decide = resolve;
    });
    const proxy = createProxy({ director: () => decided.then(() => answers("first")(undefined as never)) });
    const demo = createClient(DemoService, createProxyTransport(proxy));
    const call = outcome(demo.greet({}));
    await new Promise((resolve) => setTimeout(resolve, 10));
    proxy.update({ director: answers("second") });
    decide();
    expect(await call).toBe("first");
  });

  it("changes nothing where two services have one path", async () => {
    const proxy = createProxy({ director: answers("first"), routes: greets("local") });
    const demo = createClient(DemoService, createProxyTransport(proxy));
    const twice: Routes = (router) => {
      greets("a")(router);
      greets("b")(router);
    };
    expect(() => proxy.update({ director: answers("second"), routes: twice })).toThrow("two handlers");
    expect(await outcome(demo.greet({}))).toBe("local");
  });
});
