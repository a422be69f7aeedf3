/** Fuzz: the status that is looked for in bodies that pass: there always is one, and cuts don't change it. */
import assert from "node:assert/strict";
import { decompress } from "../../../src/compress/compress.ts";
import { Field, valueOf } from "../../../src/http2/field.ts";
import { Base64Decoder } from "../../../src/wire/base64-stream.ts";
import { bodyStatus, statusOfHead } from "../../../src/wire/body-status.ts";
import { Input, pieces } from "../input.ts";

const heads = [
  ["200", "application/grpc-web+proto", "grpc-encoding", "gzip"],
  ["200", "application/grpc-web-text", "grpc-encoding", "identity"],
  ["200", "application/connect+json", "connect-content-encoding", "gzip"],
  ["404", "application/json", "content-encoding", "identity"],
  ["503", "application/json", "content-encoding", "gzip"],
] as const;

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const [how, which] = [input.byte(), input.byte()];
  const [status, type, name, encoding] = heads[which % heads.length]!;
  const head = [new Field(":status", status), new Field("content-type", type), new Field(name, encoding)];
  const body = input.rest();
  const cut = read(head, pieces(body, how));
  const whole = read(head, [Buffer.from(body)]);
  // of a piece that isn't base64 nothing is read, however much of it was
  const isText = head[1]!.value.includes("text");
  if (!isText || new Base64Decoder().push(body, 0, body.length) !== undefined) assert.deepEqual(cut, whole);
  assert.match(valueOf(statusOfHead(head), "grpc-status") ?? "", /^\d+$/);
}

function read(head: Field[], cuts: Buffer[]): string[] {
  const status = bodyStatus(head, decompress)!;
  for (const cut of cuts) status.push(cut, 0, cut.length);
  const { told } = status;
  const fields = status.end();
  if (told !== undefined) assert.equal(fields, told);
  assert.notEqual(valueOf(fields, "grpc-status"), undefined);
  return fields.map(({ name, value }) => `${name}: ${value}`);
}
