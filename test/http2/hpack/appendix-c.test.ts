/** The worked examples of RFC 7541 appendix C, read and written. */
import { describe, expect, it } from "vitest";
import { Field, Indexing } from "../../../src/http2/field.ts";
import { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { HpackEncoder, maxEncodedLength } from "../../../src/http2/hpack/encoder.ts";

const limits = { maxTableSize: 4096, maxListSize: 16_384, maxFields: 128 };

describe("C.1 integers, as table size updates", () => {
  it.each([
    [10, "2a"],
    [1337, "3f9a0a"],
  ])("writes and reads %i", (size, hex) => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encoder.setPeerTableSize(size);
    const block = encode(encoder, []);
    expect(toHex(block)).toBe(hex);
    expect(decode(new HpackDecoder(limits), block)).toEqual([]);
  });
});

describe("C.2 one field in each representation", () => {
  it.each([
    [
      "C.2.1 with incremental indexing",
      "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
      "custom-key: custom-header",
      0,
    ],
    ["C.2.2 without indexing", "040c2f73616d706c652f70617468", ":path: /sample/path", 1],
    ["C.2.3 never indexed", "100870617373776f726406736563726574", "password: secret", 2],
    ["C.2.4 indexed", "82", ":method: GET", 0],
  ])("reads %s", (_, hex, line, indexing) => {
    const fields = new HpackDecoder(limits).decode(...whole(hex));
    expect(fields?.map(lineOf)).toEqual([line]);
    expect(fields?.[0]?.indexing).toBe(indexing);
  });

  it("writes C.2.2, C.2.3 and C.2.4, with the strings in the Huffman code", () => {
    const fields = [
      new Field(":path", "/sample/path", Indexing.without),
      new Field("password", "secret", Indexing.never),
      new Field(":method", "GET"),
    ];
    const block = encode(new HpackEncoder({ maxTableSize: 4096 }), fields);
    expect(toHex(block)).toBe("04896103a6ba0ac5634cff" + "1086ac684783d927" + "8441496153" + "82");
    expect(new HpackDecoder(limits).decode(block, 0, block.length)).toEqual(fields);
  });
});

interface Step {
  readonly block: string;
  readonly fields: readonly string[];
}

const requests = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
] as const;

const [privately, date1, date2, location] = [
  "cache-control: private",
  "date: Mon, 21 Oct 2013 20:13:21 GMT",
  "date: Mon, 21 Oct 2013 20:13:22 GMT",
  "location: https://www.example.com",
];
const cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const responses = [
  [":status: 302", privately, date1, location],
  [":status: 307", privately, date1, location],
  [":status: 200", privately, date2, location, "content-encoding: gzip", cookie],
];

const requestsInHuffman = steps(requests, [
  "828684418cf1e3c2e5f23a6ba0ab90f4ff",
  "828684be5886a8eb10649cbf",
  "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]);

/** The sequences start with a size update to 256 where that is the table's size: in the RFC a SETTINGS says so before. */
const sequences: readonly (readonly [string, number, readonly Step[]])[] = [
  [
    "C.3 requests",
    4096,
    steps(requests, [
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ]),
  ],
  ["C.4 requests in the Huffman code", 4096, requestsInHuffman],
  [
    "C.5 responses, with evictions",
    256,
    steps(responses, [
      "3fe101" +
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
      "4803333037c1c0bf",
      "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a" +
        "584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ]),
  ],
  [
    "C.6 responses in the Huffman code, with evictions",
    256,
    steps(responses, [
      "3fe101" +
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
      "4883640effc1c0bf",
      "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f36" +
        "72c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ]),
  ],
];

describe("decode() of a sequence", () => {
  it.each(sequences)("reads %s", (_, maxTableSize, sequence) => {
    const decoder = new HpackDecoder({ ...limits, maxTableSize });
    decoder.setMaxTableSize(maxTableSize);
    for (const { block, fields } of sequence) expect(decoder.decode(...whole(block))?.map(lineOf)).toEqual(fields);
  });
});

describe("encode() of a sequence", () => {
  // Not C.6: there the RFC inserts date, location and set-cookie, which this encoder leaves out of its table.
  it("writes C.4 requests in the Huffman code", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    for (const { block, fields } of requestsInHuffman) {
      expect(toHex(encode(encoder, fields.map(fieldOf)))).toBe(block);
    }
  });
});

function steps(lists: readonly (readonly string[])[], blocks: readonly string[]): Step[] {
  return lists.map((fields, i) => ({ fields, block: blocks[i]! }));
}

function lineOf(field: Field): string {
  return `${field.name}: ${field.value}`;
}

function fieldOf(line: string): Field {
  const colon = line.indexOf(": ");
  return new Field(line.slice(0, colon), line.slice(colon + 2));
}

function encode(encoder: HpackEncoder, fields: readonly Field[]): Uint8Array {
  const out = new Uint8Array(maxEncodedLength(fields));
  return out.subarray(0, encoder.encode(fields, out, 0));
}

function decode(decoder: HpackDecoder, block: Uint8Array): Field[] | undefined {
  return decoder.decode(block, 0, block.length);
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function whole(hex: string): [block: Uint8Array, start: number, end: number] {
  return [Buffer.from(hex, "hex"), 0, hex.length / 2];
}
