/** The `limits` of a listener or an upstream: the settings of its HTTP/2 connections, in the file's spelling. */
import { z } from "zod";
import { defaultSettings, type Http2Settings } from "../http2/settings.ts";
import { duration, formatDuration, formatSize, size } from "./scalar.ts";

type Setting = keyof Http2Settings;

const maxWindow = 2 ** 31 - 1;

function count(setting: Setting, text: string) {
  return z.int().min(1).max(1e9).optional().describe(`${text} Default ${defaultSettings[setting]}.`);
}

function bytes(setting: Setting, text: string, range: { min: number; max: number }) {
  const rule = `from ${range.min} to ${range.max} bytes`;
  return size
    .refine((value) => value >= range.min && value <= range.max, { error: `out of range: ${rule}` })
    .optional()
    .describe(`${text} Default ${formatSize(defaultSettings[setting])}.`);
}

function time(setting: Setting, text: string) {
  return duration.optional().describe(`${text} Default ${formatDuration(defaultSettings[setting])}.`);
}

/** Every key has one setting, whose docstring in http2/settings.ts says what it guards against. */
const settingOf = {
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
} as const satisfies Record<string, Setting>;

/** Keys as in the file, values in bytes and milliseconds. */
export type Limits = { readonly [Key in keyof typeof settingOf]?: number | undefined };

export const limits = z
  .strictObject({
    max_concurrent_streams: count("maxConcurrentStreams", "Streams the peer may have open at once."),
    initial_window_size: bytes("initialWindowSize", "Bytes a peer may send on one stream before they are taken.", {
      min: 0,
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
    max_header_list_size: bytes("maxHeaderListSize", "One header list, counted as in RFC 9113 section 6.5.2.", {
      min: 1_024,
      max: 1 << 24,
    }),
    max_header_fields: count("maxHeaderFields", "Fields of one header list."),
    max_continuation_frames: count("maxContinuationFrames", "CONTINUATION frames of one header block."),
    max_settings_entries: count("maxSettingsEntries", "Entries of one SETTINGS frame."),
    max_queued_control_frames: count("maxQueuedControlFrames", "Acks and resets waiting for a peer that doesn't read."),
    max_useless_frames: count("maxUselessFrames", "Frames that carry nothing a call needs, at one go."),
    reset_burst: count("resetBurst", "Streams reset early, at one go."),
    resets_per_second: count("resetsPerSecond", "Streams reset early, for each second more."),
    preface_timeout: time("prefaceTimeoutMs", "Time for the preface and the first SETTINGS."),
    header_block_timeout: time("headerBlockTimeoutMs", "Time for a header block that began."),
    connection_idle_timeout: time("connectionIdleTimeoutMs", "Time without any stream before a connection is closed."),
    stream_idle_timeout: time("streamIdleTimeoutMs", "Time without a frame before a stream is reset; 0s turns it off."),
    keepalive_interval: time("keepaliveIntervalMs", "Time between PINGs while streams are open; 0s turns them off."),
    keepalive_timeout: time("keepaliveTimeoutMs", "Time for a PING's ack."),
    max_socket_buffer: bytes("maxSocketBuffer", "Bytes waiting in the socket before data is held back in its stream.", {
      min: 16_384,
      max: 1 << 30,
    }),
  } satisfies Record<keyof typeof settingOf, z.ZodType>)
  .describe("Settings and budgets of each HTTP/2 connection.");

/** The settings that the file gives; the others keep their defaults. */
export function http2Settings(given: Limits | undefined): Partial<Http2Settings> {
  const settings: { -readonly [Key in Setting]?: number } = {};
  for (const [key, value] of Object.entries(given ?? {})) {
    if (value !== undefined) settings[settingOf[key as keyof typeof settingOf]] = value;
  }
  return settings;
}
