/** Requests as `node:http` reads them, without a socket. */
import { createServer, type IncomingMessage, METHODS, type ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import type { ReadRequest } from "./events.ts";

export interface NodeRequest {
  readonly method: string;
  readonly target: string;
  /** "name: value" each, names in lower case. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

export interface NodeResult {
  /** Those that were whole, in their order. */
  readonly requests: readonly NodeRequest[];
  /** How many had a head. */
  readonly heads: number;
  readonly isRefused: boolean;
}

type Taken = { -readonly [Key in keyof NodeRequest]: NodeRequest[Key] } & { isWhole: boolean };

/** Reads with one server, one input after another. */
export class NodeReader {
  #taken: Taken[] = [];
  #isRefused = false;
  readonly #server = createServer({ keepAlive: true }, (request, response) => this.#take(request, response));

  constructor() {
    this.#server.on("clientError", () => {
      this.#isRefused = true;
    });
    this.#server.on("checkContinue", (request, response) => this.#take(request, response));
    this.#server.on("connect", (_request, socket) => {
      this.#isRefused = true; // as everybody refuses it who has no tunnels
      socket.destroy();
    });
  }

  async read(text: string): Promise<NodeResult> {
    this.#taken = [];
    this.#isRefused = false;
    const answers: Buffer[] = [];
    const socket = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        answers.push(chunk);
        done();
      },
    });
    socket.on("error", () => {});
    this.#server.emit("connection", socket);
    socket.push(Buffer.from(text, "latin1"));
    for (let turns = 0; turns < 12; turns++) await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    const requests = this.#taken.filter(({ isWhole }) => isWhole).map(({ isWhole, ...request }) => request);
    // some refusals are answers: no Host, an expectation
    const isAnswered = /^HTTP\/1\.1 (4|5)/m.test(Buffer.concat(answers).toString("latin1"));
    return { requests, heads: this.#taken.length, isRefused: this.#isRefused || isAnswered };
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const taken: Taken = {
      method: request.method ?? "",
      target: request.url ?? "",
      fields: pairs(request.rawHeaders),
      body: "",
      trailers: [],
      isWhole: false,
    };
    this.#taken.push(taken);
    request.on("data", (chunk: Buffer) => {
      taken.body += chunk.toString("latin1");
    });
    request.on("error", () => {});
    request.on("end", () => {
      taken.trailers = pairs(request.rawTrailers);
      taken.isWhole = true;
      response.end();
    });
  }
}

function pairs(raw: readonly string[]): string[] {
  const fields: string[] = [];
  for (let at = 0; at < raw.length; at += 2) fields.push(`${raw[at]!.toLowerCase()}: ${raw[at + 1]}`);
  return fields;
}

/** We let pass any method but two, for it is whoever is asked who refuses it (405). */
export const isUnknownMethod = ({ fields }: ReadRequest) => !METHODS.includes(fields[0]!.slice(":method: ".length));

const pseudo = /^:/;
const notPassedOn =
  /^(host|connection|expect|keep-alive|proxy-connection|te|transfer-encoding|upgrade|http2-settings): /;

/** A request of ours in the words of `node:http`. */
export function ourView({ fields, body, trailers }: ReadRequest): NodeRequest {
  const [method, , ...rest] = fields;
  const path = rest.find((field) => field.startsWith(":path: "))!;
  return {
    method: method!.slice(":method: ".length),
    target: path.slice(":path: ".length),
    fields: rest.filter((field) => !pseudo.test(field)),
    body,
    trailers,
  };
}

/** A request of its, without what isn't passed on, and an absolute-form as its path. */
export function theirView({ method, target, fields, body, trailers }: NodeRequest): NodeRequest {
  const named = fields
    .filter((field) => field.startsWith("connection: "))
    .flatMap((field) => field.slice("connection: ".length).toLowerCase().split(","))
    .map((option) => `${option.trim()}: `);
  const path = target.replace(/^https?:\/\/[^/?]*/i, "");
  return {
    method,
    target: path === "" ? (method === "OPTIONS" ? "*" : "/") : path.replace(/^\?/, "/?"),
    fields: fields.filter((field) => !notPassedOn.test(field) && !named.some((name) => field.startsWith(name))),
    body,
    trailers: trailers.filter((field) => !notPassedOn.test(field)),
  };
}
