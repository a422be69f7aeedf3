/** Fuzz: endpoint slices, JSON of a server: endpoints with addresses that can be dialled, or an error that says why not. */
import assert from "node:assert/strict";
import { type EndpointSlice, endpointsOf } from "../../../src/discovery/endpoint-slices.ts";
import type { EndpointOptions } from "../../../src/upstream/target.ts";
import { Input } from "../input.ts";

const ports = [undefined, "grpc", 8080];

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const mode = input.byte();
  const options = { port: ports[mode % ports.length], secure: mode >= 128 };
  let slices: unknown;
  try {
    slices = JSON.parse(input.rest().toString("utf8"));
  } catch {
    return;
  }
  if (!Array.isArray(slices)) return;
  let endpoints: EndpointOptions[];
  try {
    endpoints = endpointsOf(slices as EndpointSlice[], options);
  } catch (error) {
    return assert(error instanceof Error);
  }
  const urls = endpoints.map(urlOf);
  assert.deepEqual(urls, [...new Set(urls)].sort());
  assert.deepEqual(endpointsOf([...slices].reverse() as EndpointSlice[], options).map(urlOf), urls);
}

function urlOf(options: EndpointOptions): string {
  return typeof options === "string" ? options : options.url;
}
