/**
 * Channel: messages between the supervisor and a worker, a line of JSON each, over a local socket of their own. That of
 * node:cluster is left to the connections that it hands over: on Deno (2.9) a message that crosses one of these is lost, the
 * connection with it, and all that comes after.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The variable of the environment that tells a worker where its supervisor waits for it. */
const variable = "MANIFOLD_SUPERVISOR";

/** The supervisor's end, before the worker has come. */
export interface Waiting {
  /** For the worker's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Where the worker comes, once. Never settles where it doesn't; rejects where nothing can listen. */
  readonly socket: Promise<Socket>;
  /** Nobody will come any more, or somebody has: nothing is left behind. */
  end(): void;
}

/** In a folder that nobody else can look into: whoever could connect could take the worker's place. */
export function awaitWorker(): Waiting {
  const folder = mkdtempSync(join(tmpdir(), "manifold-"));
  const path = join(folder, "supervisor");
  const server = createServer().listen(path);
  const end = () => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  const socket = new Promise<Socket>((resolve, reject) => server.once("connection", resolve).once("error", reject));
  socket.then(end, end);
  return { env: { [variable]: path }, socket, end };
}

/** The worker's end. Rejects where there is no supervisor. */
export function findSupervisor(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(process.env[variable] ?? "");
    socket.once("error", reject).once("connect", () => resolve(socket));
  });
}

/** Resolves when all of it is on its way, or the other side is gone. */
export function send(socket: Socket, message: object): Promise<void> {
  return new Promise((resolve) => {
    if (!socket.writable) return resolve();
    const done = () => {
      socket.off("close", done);
      resolve();
    };
    socket.once("close", done);
    socket.write(`${JSON.stringify(message)}\n`, done);
  });
}

/** Every message that comes from now on. JSON has no line ends of its own. */
export function receive<Message>(socket: Socket, onMessage: (message: Message) => void): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("error", () => {}); // `close` says it, too
  socket.on("data", (text: string) => {
    const lines = text.split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    for (const line of lines) onMessage(JSON.parse(line) as Message);
  });
}
