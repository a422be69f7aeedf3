/** A header block on its way in: one HEADERS frame and the CONTINUATION frames behind it (RFC 9113 section 4.3). */
import { ConnectionError, ErrorCode } from "./errors.ts";

/** Gathers the fragments of one block. Bounded by the number of frames, each bounded by the frame size. */
export class HeaderBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly startedAt: number;
  #fragments: Uint8Array[] = [];
  #continuations = 0;

  constructor(streamId: number, endStream: boolean, startedAt: number) {
    this.streamId = streamId;
    this.endStream = endStream;
    this.startedAt = startedAt;
  }

  /** Adds the fragment of the HEADERS frame. Copied: it may pin a much larger chunk until the peer goes on. */
  begin(fragment: Uint8Array): void {
    this.#fragments.push(new Uint8Array(fragment));
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM beyond `maxFrames` CONTINUATION frames (CVE-2024-27316) */
  append(fragment: Uint8Array, maxFrames: number): void {
    if (++this.#continuations > maxFrames) {
      throw new ConnectionError(
        ErrorCode.enhanceYourCalm,
        `more than ${maxFrames} CONTINUATION frames in a header block`,
      );
    }
    this.#fragments.push(new Uint8Array(fragment));
  }

  /** The whole block. */
  bytes(): Uint8Array {
    return Buffer.concat(this.#fragments);
  }
}
