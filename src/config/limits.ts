/** The `limits` of a listener or an upstream: the settings of its connections, in the file's spelling. */
import { z } from "zod";
import { type Http1Settings, defaultSettings as http1Defaults } from "../http1/settings.ts";
import { type Http2Settings, defaultSettings as http2Defaults } from "../http2/settings.ts";
import { formatDuration, formatSize } from "./quantity.ts";
import { duration, positiveDuration, size } from "./scalar.ts";
import { breakerKeys, messageKeys } from "./traffic.ts";

const maxWindow = 2 ** 31 - 1;

/** A duration for which there is a timer: those end at 2^31 - 1 ms. */
const timerDuration = duration.refine((ms) => ms < 2 ** 31, { error: "must be at most 596h" });

/** Makers of a key for each kind of setting; all say the default of the setting. */
function keysOf<Setting extends string>(defaults: Readonly<Record<Setting, number>>) {
  return {
    count: (setting: Setting, text: string, min = 1) =>
      z.int().min(min).max(1e9).optional().describe(`${text} Default ${defaults[setting]}.`),
    bytes(setting: Setting, text: string, range: { min: number; max: number }) {
      const rule = `from ${range.min} to ${range.max} bytes`;
      return size
        .refine((value) => value >= range.min && value <= range.max, { error: `out of range: ${rule}` })
        .optional()
        .describe(`${text} Default ${formatSize(defaults[setting])}.`);
    },
    time: (setting: Setting, text: string, type = duration) =>
      type.optional().describe(`${text} Default ${formatDuration(defaults[setting])}.`),
  };
}

/** Every key has one setting, whose docstring in http2/settings.ts says what it guards against. */
const http2SettingOf = {
  max_concurrent_streams: "maxConcurrentStreams",
  initial_window_size: "initialWindowSize",
  connection_window_size: "connectionWindowSize",
  max_frame_size: "maxFrameSize",
  header_table_size: "headerTableSize",
  max_header_list_size: "maxHeaderListSize",
  max_header_fields: "maxHeaderFields",
  max_continuation_frames: "maxContinuationFrames",
  max_settings_entries: "maxSettingsEntries",
  max_queued_control_frames: "maxQueuedControlFrames",
  max_useless_frames: "maxUselessFrames",
  reset_burst: "resetBurst",
  resets_per_second: "resetsPerSecond",
  preface_timeout: "prefaceTimeoutMs",
  header_block_timeout: "headerBlockTimeoutMs",
  connection_idle_timeout: "connectionIdleTimeoutMs",
  stream_idle_timeout: "streamIdleTimeoutMs",
  keepalive_interval: "keepaliveIntervalMs",
  keepalive_timeout: "keepaliveTimeoutMs",
  max_socket_buffer: "maxSocketBuffer",
} as const satisfies Record<string, keyof Http2Settings>;

/** The same keys mean the same on HTTP/1.1, where there is such a thing; the defaults are the same, too. */
const sharedSettingOf = {
  initial_window_size: "initialWindowSize",
  max_header_list_size: "maxHeaderSection",
  max_header_fields: "maxHeaderFields",
  header_block_timeout: "headerTimeoutMs",
  stream_idle_timeout: "streamIdleTimeoutMs",
  max_socket_buffer: "maxSocketBuffer",
} as const satisfies { [Key in keyof typeof http2SettingOf]?: keyof Http1Settings };

/** What there is on HTTP/1.1 alone: http1/settings.ts says what each guards against. */
const http1SettingOf = {
  max_request_line: "maxRequestLine",
  max_chunk_extensions: "maxChunkExtensions",
  max_pipelined_bytes: "maxPipelinedBytes",
  max_drained_bytes: "maxDrainedBytes",
  drain_timeout: "drainTimeoutMs",
  max_requests: "maxRequests",
  body_idle_timeout: "bodyIdleTimeoutMs",
  keep_alive_timeout: "keepAliveTimeoutMs",
} as const satisfies Record<string, keyof Http1Settings>;

const { count, bytes, time } = keysOf(http2Defaults);

const http2Keys = {
  max_concurrent_streams: count("maxConcurrentStreams", "Streams the peer may have open at once."),
  initial_window_size: bytes("initialWindowSize", "Bytes a peer may send on one stream before they are taken.", {
    min: 65_535,
    max: maxWindow,
  }),
  connection_window_size: bytes("connectionWindowSize", "The same for all streams of a connection together.", {
    min: 65_535,
    max: maxWindow,
  }),
  max_frame_size: bytes("maxFrameSize", "Largest frame payload taken.", { min: 16_384, max: 16_777_215 }),
  header_table_size: bytes("headerTableSize", "HPACK's dynamic table, in each direction at most.", {
    min: 0,
    max: 1 << 20,
  }),
  max_header_list_size: bytes(
    "maxHeaderListSize",
    "One header list, counted as in RFC 9113 section 6.5.2; on HTTP/1.1 its bytes.",
    {
      min: 1_024,
      max: 1 << 24,
    },
  ),
  max_header_fields: count("maxHeaderFields", "Fields of one header list."),
  max_continuation_frames: count("maxContinuationFrames", "CONTINUATION frames of one header block."),
  max_settings_entries: count("maxSettingsEntries", "Entries of one SETTINGS frame."),
  max_queued_control_frames: count("maxQueuedControlFrames", "Acks and resets waiting for a peer that doesn't read."),
  max_useless_frames: count("maxUselessFrames", "Frames that carry nothing a call needs, at one go."),
  reset_burst: count("resetBurst", "Streams reset early, at one go."),
  resets_per_second: count("resetsPerSecond", "Streams reset early, for each second more."),
  preface_timeout: time("prefaceTimeoutMs", "Time for the preface and the first SETTINGS.", positiveDuration),
  header_block_timeout: time("headerBlockTimeoutMs", "Time for a header block that began.", positiveDuration),
  connection_idle_timeout: time(
    "connectionIdleTimeoutMs",
    "Time without any stream before a connection is closed.",
    positiveDuration,
  ),
  stream_idle_timeout: time("streamIdleTimeoutMs", "Time without a frame before a stream is reset; 0s turns it off."),
  keepalive_interval: time(
    "keepaliveIntervalMs",
    "Time between PINGs while streams are open; 0s turns them off.",
    timerDuration,
  ),
  keepalive_timeout: time(
    "keepaliveTimeoutMs",
    "Time for a PING's ack.",
    timerDuration.refine((ms) => ms > 0, { error: "must be more than 0" }),
  ),
  max_socket_buffer: bytes("maxSocketBuffer", "Bytes waiting in the socket before data is held back in its stream.", {
    min: 16_384,
    max: 1 << 30,
  }),
} satisfies Record<keyof typeof http2SettingOf, z.ZodType>;

const http1 = keysOf(http1Defaults);

const http1Limits = z
  .strictObject({
    max_request_line: http1.bytes("maxRequestLine", "A request line; a longer one is answered 414.", {
      min: 256,
      max: 1 << 20,
    }),
    max_chunk_extensions: http1.bytes("maxChunkExtensions", "Chunk extensions of one request.", {
      min: 0,
      max: 1 << 20,
    }),
    max_pipelined_bytes: http1.bytes("maxPipelinedBytes", "Bytes that may wait behind the request being answered.", {
      min: 1_024,
      max: 1 << 24,
    }),
    max_drained_bytes: http1.bytes(
      "maxDrainedBytes",
      "Bytes of a request that are read and dropped behind its response, to keep the connection.",
      { min: 0, max: 1 << 30 },
    ),
    drain_timeout: http1.time("drainTimeoutMs", "Time for the same."),
    max_requests: http1.count("maxRequests", "Requests after which a connection is closed; 0 for no such limit.", 0),
    body_idle_timeout: http1.time(
      "bodyIdleTimeoutMs",
      "Time in which some byte of a body must come.",
      positiveDuration,
    ),
    keep_alive_timeout: http1.time("keepAliveTimeoutMs", "Time between two requests.", positiveDuration),
  } satisfies Record<keyof typeof http1SettingOf, z.ZodType>)
  .describe("What there is on HTTP/1.1 alone.");

/** Of an upstream. What HTTP/1.1 has no use for is without effect over `http: "1.1"`. */
export const upstreamLimits = z
  .strictObject({ ...http2Keys, ...breakerKeys, ...messageKeys })
  .describe("Settings and budgets of each connection, and what the whole upstream may have in use.");

export const listenerLimits = z
  .strictObject({
    ...http2Keys,
    connections: z
      .int()
      .min(1)
      .max(1e9)
      .optional()
      .describe("Connections of callers in each process; one more is closed at once. Default: any number."),
    ...messageKeys,
    http1: http1Limits.optional(),
  })
  .describe("Settings and budgets of each connection; those that HTTP/1.1 knows too hold there as well.");

/** Keys as in the file, values in bytes and milliseconds. */
export type UpstreamLimits = z.output<typeof upstreamLimits>;
export type ListenerLimits = z.output<typeof listenerLimits>;

/** The settings that the file gives; the others keep their defaults. */
export function http2Settings(given: UpstreamLimits | ListenerLimits | undefined): Partial<Http2Settings> {
  return settings(http2SettingOf, given);
}

/** The same for HTTP/1.1. */
export function http1Settings(given: ListenerLimits | undefined): Partial<Http1Settings> {
  return { ...settings(sharedSettingOf, given), ...settings(http1SettingOf, given?.http1) };
}

function settings<Setting extends string>(
  settingOf: Readonly<Record<string, Setting>>,
  given: object = {},
): { [Key in Setting]?: number } {
  const found: { [Key in Setting]?: number } = {};
  for (const [key, value] of Object.entries(given)) {
    const setting = settingOf[key];
    if (setting !== undefined && typeof value === "number") found[setting] = value;
  }
  return found;
}
