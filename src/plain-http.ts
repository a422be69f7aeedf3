/** Plain HTTP: requests that are no RPC, such as a browser's for a page, and their answers. */
import type { HttpRefusal, InboundRequest } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { Field, valueOf } from "./http2/field.ts";
import type { HttpRefusalRecord } from "./observe/call-record.ts";
import type { Log } from "./observe/log.ts";
import { answerHttp, discardRest } from "./refuse.ts";

/** A request that is no RPC: no method of a service has its path, or it isn't called as one is. */
export interface HttpRequest {
  /** "GET" */
  readonly method: string;
  /** "/style.css?v=1": as it came. */
  readonly path: string;
  /** The first value of a header, by its lower-case name; undefined where there is none. */
  header(name: string): string | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. `content-length` is added. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** Answers a request that is no RPC, or returns undefined to have it refused as any other. Its body isn't looked at. */
export type ServeHttp = (request: HttpRequest) => HttpAnswer | undefined;

/** What the plain requests of a proxy share. */
export interface PlainHttpContext {
  readonly serveHttp: ServeHttp | undefined;
  /** Told of every request that was refused. */
  readonly onRefusal: ((record: HttpRefusalRecord) => void) | undefined;
  readonly log: Log | undefined;
}

/** Answers a request that is no RPC: with what `serveHttp` says, else by refusing it. */
export function answerPlain(request: InboundRequest, refusal: HttpRefusal, context: PlainHttpContext): StreamListener {
  const { serveHttp, log } = context;
  const asked = httpRequest(request.fields);
  const answer = serveHttp && askForAnswer(serveHttp, asked, log);
  if (answer === undefined) return refusePlain(request, refusal, context);
  sendAnswer(request.stream, asked.method, answer);
  return discardRest(request.stream);
}

export function refusePlain(request: InboundRequest, refusal: HttpRefusal, context: PlainHttpContext): StreamListener {
  const { stream, fields } = request;
  answerHttp(stream, refusal, valueOf(fields, ":method") === "HEAD");
  noteRefusal(request, refusal, context);
  return discardRest(stream);
}

/** Tells of a request that was refused. */
export function noteRefusal(
  { origin, fields }: Omit<InboundRequest, "stream">,
  { status, message }: HttpRefusal,
  { onRefusal }: PlainHttpContext,
): void {
  if (onRefusal === undefined) return;
  const { method, path } = httpRequest(fields);
  const authority = valueOf(fields, ":authority") ?? valueOf(fields, "host");
  const { peer } = origin;
  onRefusal({ peer, httpStatus: status, message, method, path, ...(authority === undefined ? {} : { authority }) });
}

/** Asks for the answer to a request. If that throws, which is for the log, the answer is 500. */
function askForAnswer(serveHttp: ServeHttp, request: HttpRequest, log: Log | undefined): HttpAnswer | undefined {
  try {
    return serveHttp(request);
  } catch (error) {
    log?.error({ path: request.path, error: String(error) }, "serveHttp failed");
    return { status: 500, headers: [], body: new Uint8Array() };
  }
}

function httpRequest(fields: readonly Field[]): HttpRequest {
  return {
    method: valueOf(fields, ":method") ?? "",
    path: valueOf(fields, ":path") ?? "",
    header: (name) => valueOf(fields, name),
  };
}

/** @param method of the request: HEAD gets no body */
function sendAnswer(stream: HttpStream, method: string, { status, headers, body }: HttpAnswer): void {
  const bodyless = method === "HEAD" || body.length === 0;
  stream.sendHeaders(
    [
      new Field(":status", String(status)),
      ...headers.map(([name, value]) => new Field(name, value)),
      new Field("content-length", String(body.length)),
    ],
    bodyless,
  );
  if (!bodyless) stream.sendData(body, 0, body.length, true);
}
