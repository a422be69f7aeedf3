/**
 * Against `node:http`: what both take they read alike, and what it refuses we refuse. In full strictness it stands for what may
 * run behind this proxy or before it, so a difference is how a request could be smuggled.
 *
 * What it takes and we refuse, on purpose: see `stricter` below. What it refuses and we take: methods that it doesn't know.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readRequests } from "./events.ts";
import { spoiltStream, stream } from "./inputs.ts";
import { isUnknownMethod, NodeReader, ourView, theirView } from "./node-reader.ts";

const node = new NodeReader();

describe("the parser and node:http", () => {
  it.each([
    ["requests", stream],
    ["spoilt requests", spoiltStream],
  ])(
    "agree on %s",
    async (_what, inputs) => {
      let bothTook = 0;
      let bothRefused = 0;
      await fc.assert(
        fc.asyncProperty(inputs, async (text) => {
          const theirs = await node.read(text);
          const ours = readRequests(text);
          const taken = ours.requests.filter(({ isWhole }) => isWhole);
          const both = Math.min(taken.length, theirs.requests.length);
          for (let at = 0; at < both; at++) expect(ourView(taken[at]!)).toEqual(theirView(theirs.requests[at]!));
          if (theirs.isRefused && !ours.requests.some(isUnknownMethod)) {
            // it refuses some lines before they end, so that we may still wait; but never have we taken more
            expect(taken.length).toBeLessThanOrEqual(theirs.requests.length);
            expect(ours.requests.length).toBeLessThanOrEqual(theirs.heads);
          } else if (!theirs.isRefused && ours.refused === undefined && ours.unread === 0) {
            expect(taken.length).toBe(theirs.requests.length);
          }
          bothTook += both;
          if (theirs.isRefused && ours.refused !== undefined) bothRefused++;
        }),
        { numRuns: Number(process.env.HTTP1_RUNS ?? 1_500) },
      );
      expect(bothTook).toBeGreaterThan(100);
      expect(bothRefused).toBeGreaterThan(100);
    },
    120_000,
  );

  /** Taken by node:http, refused by us. */
  const stricter: [why: string, text: string, status: number][] = [
    ["two Host fields: which one is meant?", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
    ["a Host that is no authority", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
    ["% without digits in the target", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["user information in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["Host in a trailer", chunked("0\r\nHost: b\r\n\r\n"), 400],
    ["more than one empty line before a request", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["Transfer-Encoding on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
    [
      "a coding that we don't know",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      501,
    ],
    ["TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501],
    ["a chunk size of more than 13 digits", chunked(`${"0".repeat(14)}\r\n\r\n`), 400],
    ["a list in Connection that is none", "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", 400],
  ];
  it.each(stricter)("differ where it takes %s", async (_why, text, status) => {
    const theirs = await node.read(text);
    expect(theirs).toMatchObject({ isRefused: false, requests: [{}] });
    expect(readRequests(text).refused).toBe(status);
  });
});

function chunked(body: string): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
}
