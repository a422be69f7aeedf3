/** Detect: which protocol a new connection speaks, told from its first bytes (RFC 9113 section 3.4). */
import type { Socket } from "node:net";
import { connectionPreface } from "../http2/frame.ts";
import { startTurn } from "../http2/turn.ts";
import { unwatch, type Watched, watch } from "../http2/watch.ts";

const preface = Buffer.from(connectionPreface, "latin1");

/** Bytes of a first line that are waited for. A longer one is HTTP/1's to refuse. */
const maxFirstLine = 8 << 10;

export interface Detected {
  /** `unknown` is neither: no HTTP version stands in its first line, so no answer in HTTP would be understood. */
  readonly protocol: "http2" | "http1" | "unknown";
  /** What was read to find out. */
  readonly head: Uint8Array;
}

/**
 * Reads until the first bytes are the HTTP/2 preface, or can't become it any more and hold a line.
 *
 * @param timeoutMs after which a silent connection is destroyed, half a second later at most, and nothing is told
 */
export function detect(socket: Socket, timeoutMs: number, decided: (detected: Detected) => void): void {
  let head: Buffer = Buffer.alloc(0);
  const beganAt = startTurn();
  const silence: Watched = {
    place: -1,
    check(now) {
      if (now - beganAt <= timeoutMs) return;
      stop();
      socket.destroy();
    },
  };
  const stop = () => {
    unwatch(silence);
    socket.off("data", onData);
    socket.off("close", stop);
  };
  const onData = (chunk: Buffer) => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const protocol = protocolOf(head);
    if (protocol === undefined) return;
    stop();
    decided({ protocol, head });
  };
  watch(silence);
  socket.on("data", onData);
  socket.on("close", stop);
}

function protocolOf(head: Buffer): Detected["protocol"] | undefined {
  const compared = Math.min(head.length, preface.length);
  if (preface.compare(head, 0, compared, 0, compared) === 0) return compared < preface.length ? undefined : "http2";
  if (!startsLikeMethod(head)) return "unknown";
  const end = head.indexOf("\n");
  if (end === -1) return head.length < maxFirstLine ? undefined : "http1";
  return head.indexOf("HTTP/") !== -1 && head.indexOf("HTTP/") < end ? "http1" : "unknown";
}

/** Methods are letters in all but theory; TLS, or any other protocol of bytes, is told from them by its first one. */
function startsLikeMethod(head: Buffer): boolean {
  const first = head[0]! | 0x20;
  return first >= 0x61 && first <= 0x7a;
}
