/** Fuzz: requests over HTTP/1.1 beside `node:http`: what both take they read alike, and what it refuses we never took more of. */
import assert from "node:assert/strict";
import { readRequests } from "../../http1/events.ts";
import { isUnknownMethod, NodeReader, ourView, theirView } from "../../http1/node-reader.ts";
import { binary } from "../input.ts";

const node = new NodeReader();

export async function fuzz(data: Uint8Array): Promise<void> {
  const text = binary(data);
  const theirs = await node.read(text);
  const ours = readRequests(text);
  const taken = ours.requests.filter(({ isWhole }) => isWhole);
  const both = Math.min(taken.length, theirs.requests.length);
  for (let at = 0; at < both; at++) assert.deepEqual(ourView(taken[at]!), theirView(theirs.requests[at]!));
  if (theirs.isRefused && !ours.requests.some(isUnknownMethod)) {
    // it refuses some lines before they end, so that we may still wait
    assert(taken.length <= theirs.requests.length, `${taken.length} taken, ${theirs.requests.length} by it`);
    assert(ours.requests.length <= theirs.heads, `${ours.requests.length} heads, ${theirs.heads} of its`);
  } else if (!theirs.isRefused && ours.refused === undefined && ours.unread === 0) {
    assert.equal(taken.length, theirs.requests.length);
  }
}
