import { Code, type ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { addHealth, HealthState } from "../../src/services/health.ts";

function start() {
  const state = new HealthState();
  const client = createClient(
    Health,
    createRouterTransport((router) => addHealth(router, state)),
  );
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: ConnectError) => error.code,
    );
  return { state, client, codeOf };
}

describe("the health service", () => {
  it("Check serves the server and its services, and finds no others", async () => {
    const { state, client, codeOf } = start();
    state.know(["acme.v1.Clock"]);
    for (const service of ["", "acme.v1.Clock"]) expect((await client.check({ service })).status).toBe(Status.SERVING);
    expect(await codeOf(client.check({ service: "acme.v1.Other" }))).toBe(Code.NotFound);
    const { statuses } = await client.list({});
    expect(Object.entries(statuses).map(([name, { status }]) => [name, status])).toEqual([
      ["", Status.SERVING],
      ["acme.v1.Clock", Status.SERVING],
    ]);
    state.drain();
    expect((await client.check({})).status).toBe(Status.NOT_SERVING);
  });

  it("List refuses more than a hundred", async () => {
    const { state, client, codeOf } = start();
    state.know(Array.from({ length: 100 }, (_, index) => `a.S${index}`));
    expect(await codeOf(client.list({}))).toBe(Code.ResourceExhausted);
  });

  it("Watch tells changes alone, stays open for a service that isn't known, and ends with the drain", async () => {
    const { state, client } = start();
    const whole = client.watch({})[Symbol.asyncIterator]();
    const clock = client.watch({ service: "acme.v1.Clock" })[Symbol.asyncIterator]();
    expect((await whole.next()).value?.status).toBe(Status.SERVING);
    expect((await clock.next()).value?.status).toBe(Status.SERVICE_UNKNOWN);
    const [nextWhole, nextClock] = [whole.next(), clock.next()];
    state.know(["acme.v1.Clock"]);
    expect((await nextClock).value?.status).toBe(Status.SERVING);
    const lastClock = clock.next();
    state.drain();
    expect((await nextWhole).value?.status).toBe(Status.NOT_SERVING);
    await expect(whole.next()).rejects.toMatchObject({ code: Code.Unavailable });
    expect((await lastClock).value?.status).toBe(Status.NOT_SERVING);
  });

  it("forgets a watcher that has gone", async () => {
    const { state } = start();
    const gone = new AbortController();
    const waiting = state.changed(gone.signal);
    gone.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    await expect(state.changed(gone.signal)).rejects.toThrow("gone");
  });
});
