/** Peer settings: what the peer's SETTINGS say of our side of the connection (RFC 9113 section 6.5). */
import { ConnectionError, ErrorCode } from "./errors.ts";
import * as frame from "./frame.ts";
import type { Sender } from "./sender.ts";
import type { StreamTable } from "./stream-table.ts";

/** Whom they bind. */
export interface PeerSettingsOwner {
  readonly isServer: boolean;
  readonly streams: StreamTable;
  readonly sender: Sender;
  /** The peer's SETTINGS_MAX_CONCURRENT_STREAMS. */
  peerMaxStreams: number;
}

export class PeerSettings {
  /** The send window that new streams begin with. */
  initialWindow = frame.initialWindowSize;
  #ready = false;
  readonly #owner: PeerSettingsOwner;

  constructor(owner: PeerSettingsOwner) {
    this.#owner = owner;
  }

  /**
   * Takes those of one frame.
   *
   * @returns true for the first
   * @throws ConnectionError for a value that can't be
   */
  apply(entries: readonly (readonly [id: number, value: number])[]): boolean {
    const first = !this.#ready;
    this.#ready = true;
    if (first) this.#owner.peerMaxStreams = frame.maxInt31; // no limit, unless it says so (section 6.5.2)
    let initialWindow = this.initialWindow;
    for (const [id, value] of entries) {
      if (id === frame.SettingId.initialWindowSize) initialWindow = checkedWindow(value);
      else this.#applyOne(id, value);
    }
    // once, whatever the number of entries: it is work for each open stream
    if (initialWindow !== this.initialWindow) this.#changeWindows(initialWindow);
    return first;
  }

  #applyOne(id: number, value: number): void {
    const { sender, isServer } = this.#owner;
    switch (id) {
      case frame.SettingId.headerTableSize:
        return sender.encoder.setPeerTableSize(value);
      case frame.SettingId.enablePush:
        if (value > 1 || (value === 1 && !isServer)) throw badSetting(ErrorCode.protocolError, "ENABLE_PUSH", value);
        return;
      case frame.SettingId.maxConcurrentStreams:
        this.#owner.peerMaxStreams = value;
        return;
      case frame.SettingId.maxFrameSize:
        if (value < frame.initialMaxFrameSize || value > 0xff_ffff) {
          throw badSetting(ErrorCode.protocolError, "MAX_FRAME_SIZE", value);
        }
        sender.maxFrameSize = value;
        return;
      default: // unknown settings are ignored (section 6.5.2); the peer's header list limit is advice that a proxy can't act on
        return;
    }
  }

  /** Section 6.9.2: the change applies to every open stream, whose window may become negative by it. */
  #changeWindows(value: number): void {
    const change = value - this.initialWindow;
    this.initialWindow = value;
    for (const stream of this.#owner.streams.all()) {
      stream.sendWindow += change;
      if (stream.sendWindow > frame.maxInt31) {
        throw new ConnectionError(ErrorCode.flowControlError, `window of stream ${stream.id} beyond 2^31-1`);
      }
      if (stream.queue !== undefined) this.#owner.sender.wait(stream);
    }
  }
}

function checkedWindow(value: number): number {
  if (value > frame.maxInt31) throw badSetting(ErrorCode.flowControlError, "INITIAL_WINDOW_SIZE", value);
  return value;
}

function badSetting(code: ErrorCode, name: string, value: number): ConnectionError {
  return new ConnectionError(code, `SETTINGS_${name} ${value}`);
}
