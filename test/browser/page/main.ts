/** The test's page: one function, which the test calls. */
import type { PageCall, PageResult } from "./call.ts";
import { callByConnectWeb } from "./connect-web.ts";
import { callByGrpcWeb } from "./grpc-web.ts";
import { Outcome } from "./outcome.ts";

async function makeCall(call: PageCall): Promise<PageResult> {
  const abort = new AbortController();
  const outcome = new Outcome((count) => {
    if (count === call.cancelAfter) abort.abort();
  });
  if (call.cancelAfter === 0) setTimeout(() => abort.abort(), 100);
  await (call.client.startsWith("grpc-web") ? callByGrpcWeb : callByConnectWeb)(call, outcome, abort.signal);
  return outcome.result();
}

Object.assign(globalThis, { makeCall });
