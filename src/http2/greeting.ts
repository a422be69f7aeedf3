/** Greeting: what a connection begins with (RFC 9113 section 3.4). */
import * as frame from "./frame.ts";
import type { Sender } from "./sender.ts";
import type { Http2Settings } from "./settings.ts";

/** Sends the preface (client role), our SETTINGS, and the rest of the connection's window. */
export function greet(sender: Sender, settings: Http2Settings, isServer: boolean): void {
  if (!isServer) sender.raw(Buffer.from(frame.connectionPreface, "latin1"));
  const entries: [number, number][] = [
    [frame.SettingId.headerTableSize, settings.headerTableSize],
    [frame.SettingId.initialWindowSize, settings.initialWindowSize],
    [frame.SettingId.maxFrameSize, settings.maxFrameSize],
    [frame.SettingId.maxHeaderListSize, settings.maxHeaderListSize],
  ];
  if (isServer) entries.push([frame.SettingId.maxConcurrentStreams, settings.maxConcurrentStreams]);
  else entries.push([frame.SettingId.enablePush, 0]);
  sender.settings(entries);
  const beyondInitial = settings.connectionWindowSize - frame.initialWindowSize;
  if (beyondInitial > 0) sender.windowUpdate(0, beyondInitial);
}
