/** Settings of an HTTP/2 connection: what is announced to the peer, and the budgets that no peer may overdraw. */
import { initialWindowSize as leastWindow } from "./frame.ts";

/**
 * Every limit of one connection, in the words of RFC 9113 and RFC 7541 where these have one. The defaults are for an edge
 * that faces strangers; each names the attack or the rule it is for.
 */
export interface Http2Settings {
  /** Streams the peer may have open at once; one more is refused (REFUSED_STREAM). Default 100, as Envoy's edge advice. */
  readonly maxConcurrentStreams: number;
  /**
   * Bytes of body a peer may send on one stream before they are taken. Default and least 65,535, the RFC's own initial value: so much
   * any peer may send before it has read our settings.
   */
  readonly initialWindowSize: number;
  /** The same for all streams of a connection together, at least 65,535. Credit comes back on receipt. Default 1 MiB. */
  readonly connectionWindowSize: number;
  /** Largest frame payload taken, in bytes. Default 16,384, the RFC's minimum: larger ones delay other streams. */
  readonly maxFrameSize: number;
  /** Bytes of HPACK's dynamic table, in each direction at most. Default 4,096, the RFC's initial value. */
  readonly headerTableSize: number;
  /** Bytes of one header list as RFC 9113 section 6.5.2 counts them (32 more a field). Default 16 KiB. */
  readonly maxHeaderListSize: number;
  /** Fields of one header list. Default 128. */
  readonly maxHeaderFields: number;
  /** CONTINUATION frames of one header block (CVE-2024-27316 and its like). Default 8. */
  readonly maxContinuationFrames: number;
  /** Entries of one SETTINGS frame (CVE-2020-11080). Default 32. */
  readonly maxSettingsEntries: number;
  /** Acks of PING and SETTINGS, and RST_STREAM, waiting for a peer that doesn't read (CVE-2019-9512, 9515). Default 1,000. */
  readonly maxQueuedControlFrames: number;
  /**
   * Frames that carry nothing a call needs (empty DATA without END_STREAM, PRIORITY, unknown types, WINDOW_UPDATE of a few
   * bytes): burst, refilled by one for every useful frame, of either side, and by a hundredth each second (CVE-2019-9511,
   * 9513, 9518). Default 10,000.
   */
  readonly maxUselessFrames: number;
  /** Streams reset early, by the peer or by us for its fault, at one go (CVE-2023-44487, CVE-2025-8671). Default 200. */
  readonly resetBurst: number;
  /** The same, refilled each second. Default 20. */
  readonly resetsPerSecond: number;
  /** Milliseconds until the preface and the first SETTINGS must have come. Default 10 s. */
  readonly prefaceTimeoutMs: number;
  /** Milliseconds until a header block that began must be whole. Default 30 s. */
  readonly headerBlockTimeoutMs: number;
  /** Milliseconds without any stream after which a connection is closed in order. Default 1 h. */
  readonly connectionIdleTimeoutMs: number;
  /** Milliseconds without a frame either way after which a stream is reset. Default 5 min; 0 turns it off. */
  readonly streamIdleTimeoutMs: number;
  /** Milliseconds between PINGs while streams are open. Default 0, off: grpc-go servers punish them (ENHANCE_YOUR_CALM). */
  readonly keepaliveIntervalMs: number;
  /** Milliseconds for a PING's ack before the connection counts as dead. Default 20 s, as gRPC. */
  readonly keepaliveTimeoutMs: number;
  /** Bytes that may wait in the socket before DATA is held back in its stream. Default 256 KiB. */
  readonly maxSocketBuffer: number;
}

export const defaultSettings: Http2Settings = {
  maxConcurrentStreams: 100,
  initialWindowSize: leastWindow,
  connectionWindowSize: 1 << 20,
  maxFrameSize: 16_384,
  headerTableSize: 4_096,
  maxHeaderListSize: 16 << 10,
  maxHeaderFields: 128,
  maxContinuationFrames: 8,
  maxSettingsEntries: 32,
  maxQueuedControlFrames: 1_000,
  maxUselessFrames: 10_000,
  resetBurst: 200,
  resetsPerSecond: 20,
  prefaceTimeoutMs: 10_000,
  headerBlockTimeoutMs: 30_000,
  connectionIdleTimeoutMs: 3_600_000,
  streamIdleTimeoutMs: 300_000,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 20_000,
  maxSocketBuffer: 256 << 10,
};

const maxInt31 = 2 ** 31 - 1;

/** What each setting may be, where that isn't any number of at least 1. */
const ranges: { readonly [Key in keyof Http2Settings]?: readonly [min: number, max: number] } = {
  initialWindowSize: [leastWindow, maxInt31],
  connectionWindowSize: [leastWindow, maxInt31],
  maxFrameSize: [16_384, 2 ** 24 - 1],
  headerTableSize: [0, maxInt31],
  maxContinuationFrames: [0, maxInt31],
  streamIdleTimeoutMs: [0, Number.POSITIVE_INFINITY],
  keepaliveIntervalMs: [0, maxInt31],
  keepaliveTimeoutMs: [1, maxInt31],
};

/**
 * Looks at settings that a user gave, where that can still be told to them: not once a peer has connected.
 *
 * @param whose begins an error's message
 * @throws RangeError naming the setting and its value, if a peer would refuse it or nothing would work with it
 */
export function checkSettings(settings: Partial<Http2Settings>, whose = "http2"): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!(key in defaultSettings)) throw new RangeError(`${whose}: there is no setting ${key}`);
    const [min, max] = ranges[key as keyof Http2Settings] ?? [1, Number.POSITIVE_INFINITY];
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new RangeError(`${whose}: ${key} must be a number from ${min} to ${max}, not ${value}`);
    }
  }
}
