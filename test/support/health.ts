/** gRPC's health service by hand, for upstreams of tests: its word can change, and what was asked is counted. */
import { envelope } from "./grpc.ts";
import type { FieldPair } from "./hpack.ts";
import type { PeerStream } from "./peer-stream.ts";
import { okTrailers, type StreamHandler, trailersOnly } from "./upstream.ts";

export interface HealthService {
  /** For the upstream. */
  readonly handlers: Record<string, StreamHandler>;
  /** Changes its word, and tells those who watch. */
  say(serving: boolean): void;
  checks: number;
  watches: number;
}

const servingPath = "/grpc.health.v1.Health/";
const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

/** @param options.watch false: Watch is unimplemented, as in many servers */
export function healthService(first: boolean, options: { watch?: boolean } = {}): HealthService {
  const watching = new Set<PeerStream>();
  let serving = first;
  const message = () => envelope(Buffer.from([0x08, serving ? 1 : 2]));
  const service: HealthService = {
    checks: 0,
    watches: 0,
    say(word) {
      serving = word;
      for (const stream of watching) if (stream.reset === undefined && !stream.cut) stream.sendData(message());
    },
    handlers: {
      [`${servingPath}Check`]: (stream) => {
        service.checks++;
        stream.sendHeaders(okHeaders);
        stream.sendData(message());
        stream.sendTrailers(okTrailers);
      },
      [`${servingPath}Watch`]: (stream, connection) => {
        if (options.watch === false) return trailersOnly(12)(stream, connection);
        service.watches++;
        watching.add(stream);
        stream.sendHeaders(okHeaders);
        stream.sendData(message());
      },
    },
  };
  return service;
}
