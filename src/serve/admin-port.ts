/** Admin port: HTTP for those who run the proxy. Who may ask is decided here; what is asked for is done elsewhere. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errorText } from "../contained.ts";
import type { Log } from "../observe/log.ts";
import { isLoopback, parseListenAddress } from "./address.ts";
import type { BoundAddress } from "./listener.ts";

export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What can be asked: "GET /metrics", "POST /endpoints/*" (what the star stands for is handed over, in its parts). */
export type AdminHandlers = Readonly<Record<string, (rest: readonly string[]) => AdminAnswer | Promise<AdminAnswer>>>;

export interface AdminPortOptions {
  /** "127.0.0.1:9901" */
  readonly address: string;
  readonly handlers: AdminHandlers;
  readonly log: Log;
}

export interface AdminPort {
  readonly bound: BoundAddress;
  /** What POST needs; where other machines reach the port, GET as well. May change. */
  token: string;
  close(): void;
}

/** Rejects with the system's error where the port can't be had. */
export async function openAdminPort(options: AdminPortOptions, token: string): Promise<AdminPort> {
  const { host, port } = parseListenAddress(options.address);
  const admin = { token, public: !isLoopback(host) };
  const server = createServer((request, response) => {
    response.on("error", () => {});
    const refused = refusal(request, admin);
    if (refused !== undefined) return send(response, refused);
    void answer(request, options).then((found) => send(response, found));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === "" ? {} : { host }) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address() as { address: string; port: number };
  return {
    bound: { address: bound.address, port: bound.port, secure: false },
    get token() {
      return admin.token;
    },
    set token(next) {
      admin.token = next;
    },
    close() {
      server.close();
      server.closeIdleConnections?.();
    },
  };
}

export function json(status: number, value: unknown): AdminAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value, undefined, 2)}\n` };
}

export function text(status: number, body: string): AdminAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

/** Why somebody may not ask; undefined if they may. */
function refusal(request: IncomingMessage, admin: { token: string; public: boolean }): AdminAnswer | undefined {
  if (!isOwnHost(request.headers.host)) return text(403, "403: this host name isn't ours\n");
  if (request.method === "GET" && !admin.public) return undefined;
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (given !== undefined && isSame(given, admin.token)) return undefined;
  return text(401, "401: give the token: Authorization: Bearer TOKEN\n");
}

/**
 * A page that a browser has loaded can make a name of its own point here (DNS rebinding) and would then be let to read; its name
 * stands in Host all the same. Addresses can't be made to point elsewhere.
 */
function isOwnHost(given: string | undefined): boolean {
  const host = /^(\[[0-9a-f:.]+\]|[^:]*)(:\d*)?$/i.exec(given ?? "")?.[1]?.toLowerCase();
  return host !== undefined && (host === "localhost" || host.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(host));
}

/** In a time that tells nothing of where they differ. */
function isSame(a: string, b: string): boolean {
  const digest = (value: string) => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(a), digest(b));
}

async function answer(request: IncomingMessage, { handlers, log }: AdminPortOptions): Promise<AdminAnswer> {
  const path = (request.url ?? "").split("?")[0]!;
  const found = find(handlers, request.method ?? "", path);
  if (found !== undefined) {
    try {
      return await found();
    } catch (error) {
      log.error({ path, error: errorText(error) }, "admin failed");
      return text(500, "500: it is in the log why\n");
    }
  }
  const others = ["GET", "POST"].filter((method) => find(handlers, method, path) !== undefined);
  if (others.length > 0) return text(405, `405: ${path} takes ${others.join(", ")}\n`);
  return text(404, `404: there are ${Object.keys(handlers).join(", ")}\n`);
}

function find(handlers: AdminHandlers, method: string, path: string) {
  for (const [pattern, handler] of Object.entries(handlers)) {
    const [wanted, route = ""] = pattern.split(" ");
    if (wanted !== method) continue;
    if (route === path) return () => handler([]);
    const prefix = route.endsWith("/*") ? route.slice(0, -1) : undefined;
    const rest = prefix !== undefined && path.startsWith(prefix) ? partsOf(path.slice(prefix.length)) : undefined;
    if (rest !== undefined) return () => handler(rest);
  }
  return undefined;
}

/** Decoded; undefined where that can't be. */
function partsOf(path: string): string[] | undefined {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, { status, contentType, body }: AdminAnswer): void {
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
  });
  response.end(body);
}
