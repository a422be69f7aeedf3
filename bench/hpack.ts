/**
 * Nanoseconds to decode and to encode one header block of a gRPC request with ten fields.
 *
 * `bun bench/hpack.ts`, `deno run bench/hpack.ts`; for Node 20 bundle it first: `bun build --target node`.
 */

import { Field, Indexing } from "../src/http2/field.ts";
import { HpackDecoder } from "../src/http2/hpack/decoder.ts";
import { HpackEncoder, maxEncodedLength } from "../src/http2/hpack/encoder.ts";

const maxTableSize = 4096;
const rounds = 100;
const blocksPerRound = 5_000; // a few milliseconds, so that the best round is one that nothing interrupted

const request: readonly (readonly [string, string])[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/buf.connect.demo.eliza.v1.ElizaService/Say"],
  [":authority", "users.internal.example.com:8080"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
  ["user-agent", "grpc-go/1.84.0"],
  ["grpc-accept-encoding", "gzip,deflate"],
  ["x-tenant", "acme-production-eu-west"],
  ["authorization", "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"],
];

const indexed = fieldsOf(() => Indexing.incremental);
const literal = fieldsOf(() => Indexing.without);
/** What nghttp2's encoder (h2load, grpcio and others) sends: the path as a literal each time. */
const pathLiteral = fieldsOf((name) => (name === ":path" ? Indexing.without : Indexing.incremental));

measureBoth("10 fields in a table", [indexed]);
measureBoth("9 in a table, :path literal", [pathLiteral]);
measureBoth("10 literals, Huffman", [literal]);
measureBoth("9 in a table, grpc-timeout new each time", changing("grpc-timeout", 500));
measureBoth("9 in a table, one new each time, inserted", changing("x-changing", 500));

function fieldsOf(indexingOf: (name: string) => Indexing): Field[] {
  return request.map(([name, value]) => new Field(name, value, indexingOf(name)));
}

function changing(name: string, count: number): Field[][] {
  return Array.from({ length: count }, (_, i) => [...indexed.slice(0, 9), new Field(name, `${9_000_000 + i * 7}u`)]);
}

/** Takes the lists in turn, with tables that are warm. */
function measureBoth(title: string, lists: readonly Field[][]): void {
  const encoder = new HpackEncoder({ maxTableSize });
  const out = new Uint8Array(maxEncodedLength(lists[0]!) + 64);
  const blocks: Uint8Array[] = [];
  for (let i = 0; i < lists.length * 2; i++) {
    blocks.push(out.slice(0, encoder.encode(lists[i % lists.length]!, out, 0)));
  }
  const decoder = new HpackDecoder({ maxTableSize, maxListSize: 16_384, maxFields: 128 });
  // The first pass fills the table; where blocks insert, the table has turned over when they come again, so they stay valid.
  for (const block of blocks) decoder.decode(block, 0, block.length);
  const warm = blocks.slice(lists.length);
  const decode = bestOf((i) => decoder.decode(warm[i % warm.length]!, 0, warm[i % warm.length]!.length)!.length);
  const encode = bestOf((i) => encoder.encode(lists[i % lists.length]!, out, 0));
  console.log(
    `${title.padEnd(44)} decode ${decode.toFixed(0).padStart(5)} ns   encode ${encode.toFixed(0).padStart(5)} ns`,
  );
}

function bestOf(run: (i: number) => number): number {
  let best = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let i = 0; i < blocksPerRound; i++) sum += run(i);
    best = Math.min(best, ((performance.now() - start) / blocksPerRound) * 1e6);
  }
  if (sum === 0) throw new Error("nothing was measured");
  return best;
}
