/** Detect: which protocol a new connection speaks, told from its first bytes (RFC 9113 section 3.4). */
import type { Socket } from "node:net";
import { connectionPreface } from "../http2/frame.ts";

const preface = Buffer.from(connectionPreface, "latin1");

export interface Detected {
  readonly protocol: "http2" | "other";
  /** What was read to find out. */
  readonly head: Uint8Array;
}

/**
 * Reads until the first bytes are the HTTP/2 preface or can't become it any more.
 *
 * @param timeoutMs after which a silent connection is destroyed, and nothing is told
 */
export function detect(socket: Socket, timeoutMs: number, decided: (detected: Detected) => void): void {
  let head: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("close", stop);
  };
  const onData = (chunk: Buffer) => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const compared = Math.min(head.length, preface.length);
    const same = preface.compare(head, 0, compared, 0, compared) === 0;
    if (same && compared < preface.length) return;
    stop();
    decided({ protocol: same ? "http2" : "other", head });
  };
  socket.on("data", onData);
  socket.on("close", stop);
}
