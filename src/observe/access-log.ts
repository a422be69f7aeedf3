/** Access log: one line per call, once it is over, and one per request that was refused before it was a call. */
import { statusName } from "../wire/status.ts";
import type { CallRecord, HttpRefusalRecord } from "./call-record.ts";
import { clock, colours, type Paint } from "./colour.ts";
import type { WriteLine } from "./lines.ts";
import { printable, printableJson } from "./printable.ts";

export interface AccessLogOptions {
  /** Gets whole lines, each with its "\n"; `gatherLines()` makes that cheap. */
  readonly write: WriteLine;
  /** "pretty" for people, "json" (one object per line, stable keys in snake_case) for programs. */
  readonly format: "pretty" | "json";
  /** Escape sequences in the pretty format. Default false. */
  readonly colour?: boolean;
}

export type AccessLog = (record: CallRecord | HttpRefusalRecord) => void;

export function createAccessLog({ write, format, colour = false }: AccessLogOptions): AccessLog {
  const line = format === "json" ? jsonLine : prettyLine(colour);
  const refusalLine = format === "json" ? jsonRefusal : prettyRefusal(colour);
  return (record) => write("call" in record ? line(record) : refusalLine(record));
}

function jsonLine(record: CallRecord): string {
  const { call, status } = record;
  return `${printableJson(
    JSON.stringify({
      level: 30,
      time: Date.now(),
      msg: "call",
      status: statusName(status),
      code: status,
      path: call.path,
      authority: call.authority,
      protocol: call.protocol,
      upstream_protocol: record.upstreamProtocol,
      peer: call.peer.address,
      peer_port: call.peer.port,
      identity: call.identity?.name,
      endpoint: record.endpoint,
      duration_ms: Math.round(record.durationMs * 1_000) / 1_000,
      request_bytes: record.requestBytes,
      response_bytes: record.responseBytes,
      message: record.message,
      detail: record.detail,
    }),
  )}\n`;
}

/** `12:34:56.789  unavailable         /acme.v1.Users/Get  grpc -> grpc  1.2 ms  node-1  12 B -> 0 B  no answer within 5000 ms` */
function prettyLine(colour: boolean): (record: CallRecord) => string {
  const { dim, red, green, yellow } = colours(colour);
  const paintOf = (status: number): Paint => (status === 0 ? green : isCallersFault(status) ? yellow : red);
  return (record) => {
    const { call, status, endpoint, upstreamProtocol } = record;
    const columns = [
      dim(clock(new Date())),
      paintOf(status)(statusName(status).padEnd(longestName)),
      printable(call.path),
      dim(upstreamProtocol === undefined ? call.protocol : `${call.protocol} -> ${upstreamProtocol}`),
      duration(record.durationMs),
      endpoint === undefined ? dim("-") : printable(endpoint),
      `${size(record.requestBytes)} -> ${size(record.responseBytes)}`,
    ];
    const why = record.detail ?? record.message;
    if (why !== undefined && why !== "") columns.push(dim(printable(why)));
    return `${columns.join("  ")}\n`;
  };
}

function jsonRefusal({ peer, httpStatus, message, method, path, authority }: HttpRefusalRecord): string {
  const fields = {
    http_status: httpStatus,
    method,
    path,
    authority,
    peer: peer.address,
    peer_port: peer.port,
    message,
  };
  return `${printableJson(JSON.stringify({ level: 30, time: Date.now(), msg: "refused", ...fields }))}\n`;
}

/** `12:34:56.789  HTTP 404             GET /favicon.ico  no method at path "/favicon.ico"` */
function prettyRefusal(colour: boolean): (record: HttpRefusalRecord) => string {
  const { dim, yellow } = colours(colour);
  return ({ httpStatus, method, path, message }) => {
    const request = method === undefined ? dim("-") : printable(`${method} ${path}`);
    const status = yellow(`HTTP ${httpStatus}`.padEnd(longestName));
    return `${[dim(clock(new Date())), status, request, dim(printable(message))].join("  ")}\n`;
  };
}

const longestName = "failed_precondition".length;

/** Statuses that are an answer rather than a failure of a server: as gRPC's own guides sort them. */
function isCallersFault(status: number): boolean {
  return [1, 3, 5, 6, 7, 9, 10, 11, 16].includes(status);
}

/** "0.42 ms", "12 ms", "3.5 s". */
function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** "123 B", "1.5 kB", "8.4 MB": decimal, as the field counts bytes on a wire. */
function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const [amount, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : bytes < 1e9 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${amount.toFixed(1)} ${unit}`;
}
