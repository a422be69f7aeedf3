/** Kubernetes API: requests to it with the credentials of a pod, or of a file. */
import { readFile } from "node:fs/promises";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import process from "node:process";

export interface ApiOptions {
  /** "https://10.0.0.1:6443". Default: the cluster's own that a pod is told of in its environment. */
  readonly server?: string;
  /** Paths of files. Default: a pod's service account. They are read for each request: tokens are exchanged every hour. */
  readonly token?: string;
  readonly ca?: string;
  readonly namespace?: string;
}

const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** An answer that isn't what was asked for. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** HTTP's, or that of a Status object. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Milliseconds until an answer must have begun. */
const headTimeoutMs = 10_000;

/** Bytes of one object, or of one page of a list. */
const maxBytes = 32 << 20;

export class KubernetesApi {
  readonly #token: string;
  readonly #ca: string;
  readonly #options: ApiOptions;

  constructor(options: ApiOptions = {}) {
    this.#token = options.token ?? `${accountFolder}/token`;
    this.#ca = options.ca ?? `${accountFolder}/ca.crt`;
    this.#options = options;
  }

  /** The namespace that is meant where none is said: the pod's own. */
  async namespace(): Promise<string> {
    return this.#options.namespace ?? (await readFile(`${accountFolder}/namespace`, "utf8")).trim();
  }

  /** @throws ApiError for any answer but 200; the system's error where there is none */
  async get(path: string, signal: AbortSignal): Promise<unknown> {
    const response = await this.#request(path, signal);
    const parts: string[] = [];
    for await (const part of textOf(response)) parts.push(part);
    return JSON.parse(parts.join(""));
  }

  /**
   * Reads an answer that goes on, a line for each object.
   *
   * @param maxMs after which it is cut: the peer may be gone without a word
   */
  async *watch(path: string, signal: AbortSignal, maxMs: number): AsyncGenerator<unknown[]> {
    const response = await this.#request(path, signal);
    const timer = setTimeout(() => response.destroy(new Error("watch did not end in its time")), maxMs);
    let rest = "";
    try {
      for await (const part of textOf(response, Number.POSITIVE_INFINITY)) {
        const lines = (rest + part).split("\n");
        rest = lines.pop()!;
        if (rest.length > maxBytes) throw new Error(`object of more than ${maxBytes} bytes`);
        const objects = lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as unknown);
        if (objects.length > 0) yield objects;
      }
    } finally {
      clearTimeout(timer);
      response.destroy();
    }
  }

  async #request(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const server = serverOf(this.#options.server);
    const secure = server.protocol === "https:";
    const token = await read(this.#token, this.#options.token !== undefined || secure);
    const ca = secure ? await read(this.#ca, this.#options.ca !== undefined) : undefined;
    const options = {
      signal,
      headers: {
        accept: "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token.trim()}` }),
      },
      agent: false as const, // a connection of its own: it ends with the watch
    };
    const url = new URL(path, server);
    const send = secure
      ? requestHttps(url, { ...options, ...(ca === undefined ? {} : { ca }) })
      : requestHttp(url, options);
    const response = await headOf(send);
    if (response.statusCode === 200) return response;
    throw new ApiError(response.statusCode ?? 0, await messageOf(response));
  }
}

function serverOf(server: string | undefined): URL {
  if (server !== undefined) return new URL(server);
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = process.env;
  if (host === undefined) {
    throw new Error("no Kubernetes API: this is no pod (KUBERNETES_SERVICE_HOST isn't set), and no server is given");
  }
  return new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`);
}

/** Undefined where there is no such file, and it need not be there. */
async function read(path: string, required: boolean): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (!required) return undefined;
    throw new Error(`can't read ${path} (${(error as { code?: string }).code})`, { cause: error });
  }
}

function headOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${headTimeoutMs} ms`)), headTimeoutMs);
    const settle = <T>(then: (value: T) => void) => {
      return (value: T) => {
        clearTimeout(timer);
        then(value);
      };
    };
    request.on("error", settle(reject));
    request.on("response", settle(resolve));
    request.end();
  });
}

async function* textOf(response: IncomingMessage, max = maxBytes): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > max) throw new Error(`answer of more than ${max} bytes`);
    yield decoder.decode(chunk as Uint8Array, { stream: true });
  }
}

/** Errors come as a Status object with a message for people. */
async function messageOf(response: IncomingMessage): Promise<string> {
  const parts: string[] = [];
  for await (const part of textOf(response, 1 << 20)) parts.push(part);
  try {
    const { message } = JSON.parse(parts.join("")) as { message?: unknown };
    if (typeof message === "string") return `HTTP ${response.statusCode}: ${message}`;
  } catch {
    // no JSON
  }
  return `HTTP ${response.statusCode}`;
}
