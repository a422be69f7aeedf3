/** What every client written in JavaScript must see through Manifold as it sees it directly. */
import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import { type CallOptions, type Method, type RpcClient, RpcFailure } from "./rpc-client.ts";

export const checks: Record<string, (client: RpcClient) => Promise<void>> = {
  "a unary call": async (client) => {
    const message = randomBytes(100);
    const { replies } = await client.call("Unary", once(message));
    expect(replies.map(asHex)).toEqual([asHex(message)]);
  },
  "an empty message": async (client) => {
    const { replies } = await client.call("Unary", once(new Uint8Array()));
    expect(replies.map(({ length }) => length)).toEqual([0]);
  },
  "a server stream of 1,000 messages": async (client) => {
    const message = randomBytes(100);
    const { replies } = await client.call("ServerStream", once(message), { headers: [["x-reply-count", "1000"]] });
    expect(replies.length).toBe(1_000);
    expect(new Set(replies.map(asHex))).toEqual(new Set([asHex(message)]));
  },
  "a client stream of 1,000 messages": async (client) => {
    const messages = Array.from({ length: 1_000 }, (_, index) => randomBytes(index % 200));
    const { replies } = await client.call("ClientStream", each(messages), { headers: [["x-hash", "1"]] });
    expect(replies.length).toBe(1);
    expect(JSON.parse(Buffer.from(replies[0]!).toString())).toMatchObject({ messages: 1_000 });
  },
  "a ping-pong of 1,000 messages, each sent when the one before is back": async (client) => {
    const seen: string[] = [];
    const sent: string[] = [];
    let wake = () => {};
    async function* pings() {
      for (let at = 0; at < 1_000; at++) {
        const ping = Buffer.from(`ping ${at}`);
        sent.push(asHex(ping));
        const back = new Promise<void>((resolve) => {
          wake = resolve;
        });
        yield ping;
        await back;
      }
    }
    const onReply = (reply: Uint8Array) => {
      seen.push(asHex(reply));
      wake();
    };
    await client.call("Bidi", pings(), { onReply });
    expect(seen).toEqual(sent);
  },
  "messages of 8 MiB in all four kinds of call": async (client) => {
    const message = randomBytes(8 << 20);
    const hash = hashOf(message);
    for (const method of ["Unary", "ServerStream", "Bidi"] as const) {
      const { replies } = await client.call(method, once(message));
      expect(replies.map(hashOf), method).toEqual([hash]);
    }
    const { replies } = await client.call("ClientStream", each([message, message]));
    expect(JSON.parse(Buffer.from(replies[0]!).toString())).toMatchObject({ messages: 2 });
  },
  "200 calls at once": async (client) => {
    const messages = Array.from({ length: 200 }, (_, index) => randomBytes(index));
    const all = await Promise.all(
      messages.map((message, index) =>
        client.call("Unary", once(message), { headers: [["x-call-id", `call-${index}`]] }),
      ),
    );
    expect(all.map(({ replies }) => asHex(replies[0]!))).toEqual(messages.map(asHex));
    expect(all.map(({ trailer }) => trailer("x-call-id").join())).toEqual(messages.map((_, index) => `call-${index}`));
  },
  "metadata both ways, binary and doubled": async (client) => {
    const headers = [
      ["x-echo", "both"],
      ["x-plain", "a value"],
      ["x-twice", "one"],
      ["x-twice", "two"],
      ["x-data-bin", "AAH/DQo"],
    ] as const;
    const { header, trailer } = await client.call("Unary", once(Buffer.from("x")), { headers });
    for (const from of [header, trailer]) {
      expect(from("echo-x-plain")).toEqual(["a value"]);
      expect(from("echo-x-twice")).toEqual(["one", "two"]);
      expect(from("echo-x-data-bin")).toEqual(["AAH/DQo"]);
    }
  },
  "an error with its message": async (client) => {
    const headers: CallOptions["headers"] = [
      ["x-fail", "9"],
      ["x-fail-message", "50% off"],
    ];
    for (const method of ["Unary", "ServerStream", "ClientStream", "Bidi"] as const) {
      const failure = await failureOf(client, method, { headers });
      expect([failure.code, failure.message], method).toEqual([9, "50% off"]);
    }
  },
  "an error after 3 messages": async (client) => {
    const headers: CallOptions["headers"] = [
      ["x-fail", "8"],
      ["x-fail-after", "3"],
      ["x-reply-count", "10"],
    ];
    const seen: Uint8Array[] = [];
    const failure = await failureOf(client, "ServerStream", { headers, onReply: (reply) => seen.push(reply) });
    expect(failure.code).toBe(8);
    expect(seen.length).toBe(3);
  },
  "a deadline": async (client) => {
    const options = { headers: [["x-never", "1"]], timeoutMs: 300 } as const;
    const startedAt = performance.now();
    const failure = await failureOf(client, "Bidi", options);
    expect(failure.code).toBe(4);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  },
  "the deadline as the server is told it": async (client) => {
    const options = { headers: [["x-echo", "headers"]], timeoutMs: 60_000 } as const;
    const { header } = await client.call("Unary", once(Buffer.from("x")), options);
    const left = Number(header("echo-deadline-ms")[0]);
    expect(left).toBeGreaterThan(30_000);
    expect(left).toBeLessThanOrEqual(60_000);
  },
  "cancelling a call": async (client) => {
    const abort = new AbortController();
    const headers: CallOptions["headers"] = [
      ["x-reply-count", "100000"],
      ["x-interval-ms", "10"],
    ];
    let seen = 0;
    const onReply = () => {
      if (++seen === 3) abort.abort();
    };
    const failure = await failureOf(client, "ServerStream", { headers, onReply, signal: abort.signal });
    expect(failure.code).toBe(1);
    expect((await client.call("Unary", once(Buffer.from("after")))).replies.length).toBe(1);
  },
};

async function failureOf(client: RpcClient, method: Method, options: CallOptions): Promise<RpcFailure> {
  const failure = await client.call(method, once(Buffer.from("x")), options).catch((error: unknown) => error);
  if (failure instanceof RpcFailure) return failure;
  throw failure instanceof Error ? failure : new Error("the call did not fail");
}

async function* once(message: Uint8Array): AsyncGenerator<Uint8Array> {
  yield message;
}

async function* each(messages: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* messages;
}

function asHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
