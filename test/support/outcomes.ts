/** What a call came to, read from the wire in each protocol's own words. */
import type { Form } from "./callers.ts";
import { openEnvelopes } from "./grpc.ts";
import type { FieldPair } from "./hpack.ts";
import type { WireResponse } from "./wire-response.ts";

export interface Outcome {
  /** HTTP's status; 0 where no head came. */
  http: number;
  /** gRPC's number; undefined where the response says none, or ended before it did. */
  status: number | undefined;
  /** As it stands there: percent-encoded in gRPC and gRPC-Web, text in Connect. */
  message: string | undefined;
  /** Payloads. */
  messages: { flags: number; bytes: Buffer }[];
  headers: FieldPair[];
  /** HTTP's, a frame's, the metadata of Connect's end, or `trailer-` headers without that prefix. */
  trailers: FieldPair[];
  /** base64 of grpc-status-details-bin, or types and values of Connect's details. */
  details: string | undefined;
  /** Payload of the last envelope, where the protocol has one. */
  last: Buffer | undefined;
  /** What of a frame of trailers is no line of any. */
  badLines: string[];
  /** The body, base64 undone. */
  body: Buffer;
  /** How it ended before its time: "cut", "RST_STREAM 8"; undefined where it came whole. */
  broken: string | undefined;
}

export function readOutcome(form: Form, response: WireResponse): Outcome {
  const wire = Buffer.concat(response.chunks);
  const body = form === "grpc-web-text" && isText(response) ? decodeText(wire) : wire;
  const outcome: Outcome = {
    http: Number(response.field(":status") ?? 0),
    status: undefined,
    message: undefined,
    messages: [],
    headers: response.headers.filter(([name]) => name !== ":status"),
    trailers: [],
    details: undefined,
    last: undefined,
    badLines: [],
    body,
    broken: undefined,
  };
  // behind a whole response a reset says only that no more of the request is wanted
  if (!response.ended) outcome.broken = response.reset === undefined ? "cut" : `RST_STREAM ${response.reset}`;
  if (form === "grpc") readGrpc(outcome, response);
  else if (form === "grpc-web" || form === "grpc-web-text") readGrpcWeb(outcome);
  else if (form === "connect stream") readConnectStream(outcome);
  else readConnectUnary(outcome);
  return outcome;
}

function isText(response: WireResponse): boolean {
  return response.field("content-type")?.includes("-text") === true;
}

/** Padding may stand in the middle. */
function decodeText(wire: Buffer): Buffer {
  return Buffer.concat((wire.toString("latin1").match(/[^=]+=*/g) ?? []).map((part) => Buffer.from(part, "base64")));
}

function readGrpc(outcome: Outcome, { trailers, headers, ended }: WireResponse): void {
  outcome.messages = openEnvelopes(outcome.body) ?? [];
  outcome.trailers = trailers ?? [];
  if (ended) takeStatus(outcome, trailers ?? headers);
}

function readGrpcWeb(outcome: Outcome): void {
  takeStatus(outcome, outcome.headers);
  const envelopes = wholeEnvelopes(outcome.body);
  const last = envelopes.at(-1);
  outcome.messages = envelopes.filter(({ flags }) => (flags & 0x80) === 0);
  if (last === undefined || (last.flags & 0x80) === 0) return;
  outcome.last = last.bytes;
  const lines = last.bytes.toString("latin1").split("\r\n");
  const behind = lines.pop() ?? "";
  if (behind !== "") outcome.badLines.push(behind);
  for (const line of lines) {
    const [, name = "", value = ""] = /^([!#$%&'*+\-.^_`|~0-9a-z]+): ?([^\r\n\0]*)$/.exec(line) ?? [];
    if (name === "") outcome.badLines.push(line);
    else outcome.trailers.push([name, value]);
  }
  takeStatus(outcome, outcome.trailers);
}

function takeStatus(outcome: Outcome, fields: readonly FieldPair[]): void {
  const value = (name: string) => fields.find(([known]) => known === name)?.[1];
  const status = value("grpc-status");
  if (status === undefined) return;
  outcome.status = Number(status);
  outcome.message = value("grpc-message");
  outcome.details = value("grpc-status-details-bin");
}

interface ErrorJson {
  code: string;
  message?: string;
  details?: { type: string; value: string }[];
}

function readConnectStream(outcome: Outcome): void {
  const envelopes = wholeEnvelopes(outcome.body);
  const last = envelopes.at(-1);
  outcome.messages = envelopes.filter(({ flags }) => (flags & 2) === 0);
  if (outcome.http !== 200 || last === undefined || (last.flags & 2) === 0) return;
  outcome.last = last.bytes;
  const end = JSON.parse(last.bytes.toString()) as { error?: ErrorJson; metadata?: Record<string, string[]> };
  outcome.trailers = Object.entries(end.metadata ?? {}).flatMap(([name, values]) =>
    values.map((value): FieldPair => [name, value]),
  );
  if (end.error === undefined) outcome.status = 0;
  else takeError(outcome, end.error);
}

function readConnectUnary(outcome: Outcome): void {
  const prefix = "trailer-";
  outcome.trailers = outcome.headers
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => [name.slice(prefix.length), value]);
  if (outcome.broken !== undefined) return;
  const type = outcome.headers.find(([name]) => name === "content-type")?.[1];
  if (outcome.http === 200 && /^application\/(proto|json)$/.test(type ?? "")) {
    outcome.status = 0;
    outcome.messages = [{ flags: 0, bytes: outcome.body }];
  } else if (outcome.http !== 200 && type === "application/json") {
    takeError(outcome, JSON.parse(outcome.body.toString()));
  }
}

function takeError(outcome: Outcome, { code, message, details }: ErrorJson): void {
  outcome.status = codeNames.indexOf(code);
  outcome.message = message;
  outcome.details = details?.map(({ type, value }) => `${type} ${value}`).join();
}

/** Up to where a body was cut off. */
function wholeEnvelopes(body: Buffer): { flags: number; bytes: Buffer }[] {
  let stop = 0;
  while (body.length - stop >= 5 && stop + 5 + body.readUInt32BE(stop + 1) <= body.length) {
    stop += 5 + body.readUInt32BE(stop + 1);
  }
  return openEnvelopes(body.subarray(0, stop)) ?? [];
}

export const codeNames: readonly string[] = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];
