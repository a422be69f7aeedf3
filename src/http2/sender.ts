/** Sender: frames out, within the peer's windows and frame size (RFC 9113 sections 4.2, 5.2 and 6.9). */
import type { ByteSocket } from "./api.ts";
import type { ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import * as frame from "./frame.ts";
import { claimHeadroom } from "./headroom.ts";
import { HpackEncoder, maxEncodedLength } from "./hpack/encoder.ts";
import { Output } from "./output.ts";
import type { Http2Settings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";
import { turn } from "./turn.ts";

export class Sender {
  readonly output: Output;
  readonly encoder: HpackEncoder;
  /** The peer's SETTINGS_MAX_FRAME_SIZE. */
  maxFrameSize = frame.initialMaxFrameSize;
  /** Bytes the peer lets us send on all streams together. */
  window = frame.initialWindowSize;
  /** Parts of bodies that have left in the life of the connection. */
  partsSent = 0;
  /** Control frames written since `#mark`, and how many bytes had been written then. */
  #controlFrames = 0;
  #mark = 0;
  /** Streams whose queue waits for the connection's window or the socket, in turn. */
  readonly #waiting = new Set<Http2Stream>();

  constructor(socket: ByteSocket, settings: Http2Settings) {
    this.output = new Output(socket, settings.maxSocketBuffer);
    this.encoder = new HpackEncoder({ maxTableSize: settings.headerTableSize });
  }

  headers(id: number, fields: readonly Field[], end: boolean): void {
    const { output } = this;
    output.reserve(maxEncodedLength(fields) + frame.frameHeaderSize);
    const { block, at } = output;
    const start = at + frame.frameHeaderSize;
    const stop = this.encoder.encode(fields, block, start);
    const flags = end ? frame.END_STREAM : 0;
    const length = stop - start;
    if (length > this.maxFrameSize) return this.#continued(id, new Uint8Array(block.subarray(start, stop)), flags);
    frame.writeFrameHeader(block, at, length, frame.HEADERS, flags | frame.END_HEADERS, id);
    output.at = stop;
  }

  /** One DATA frame, or several where the peer's frame size asks for it. The windows must have been checked. */
  data(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const { output, maxFrameSize } = this;
    stream.lastActive = turn.now;
    stream.sendWindow -= stop - start;
    this.window -= stop - start;
    if (stop > start && stop - start <= maxFrameSize && claimHeadroom(bytes, start)) {
      const header = start - frame.frameHeaderSize;
      frame.writeFrameHeader(bytes, header, stop - start, frame.DATA, end ? frame.END_STREAM : 0, stream.id);
      return output.appendInPlace(bytes, header, stop);
    }
    let from = start;
    do {
      const to = Math.min(stop, from + maxFrameSize);
      const flags = end && to === stop ? frame.END_STREAM : 0;
      output.reserve(frame.frameHeaderSize);
      output.at = frame.writeFrameHeader(output.block, output.at, to - from, frame.DATA, flags, stream.id);
      if (to > from) output.append(bytes, from, to);
      from = to;
    } while (from < stop);
  }

  /** True if so many bytes may leave now. None, for END_STREAM alone, always may. */
  admits(stream: Http2Stream, bytes: number): boolean {
    return bytes === 0 || (bytes <= stream.sendWindow && bytes <= this.window && !this.output.congested);
  }

  /** The stream's queue may be sendable now, or once the connection's window or the socket has room. */
  wait(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.#waiting.delete(stream);
  }

  /** Sends what waits, a frame of each stream in turn, as far as windows and socket allow. */
  pump(): void {
    for (const stream of this.#waiting) {
      if (this.output.congested) return;
      this.#waiting.delete(stream); // and added again below: a Set keeps its order, so the streams take turns
      if (this.#pumpOne(stream)) this.#waiting.add(stream);
      else if (this.window <= 0 && stream.queue !== undefined) {
        this.#waiting.add(stream);
        return;
      }
    }
  }

  /** Sends one frame of a stream's queue; true if it could send more. */
  #pumpOne(stream: Http2Stream): boolean {
    const { queue } = stream;
    if (queue === undefined || stream.closed) return false;
    const piece = queue.pieces[0]!;
    const bytes = Math.min(piece.stop - piece.start, stream.sendWindow, this.window, this.maxFrameSize);
    if (bytes <= 0) return false;
    const last = piece.start + bytes === piece.stop && queue.pieces.length === 1;
    this.data(stream, piece.bytes, piece.start, piece.start + bytes, last && queue.tail === "end");
    piece.start += bytes;
    if (piece.start === piece.stop) {
      queue.pieces.shift();
      this.partsSent++;
    }
    if (last) stream.queueSent();
    stream.listener.onSent(bytes);
    if (!last) return stream.sendWindow > 0 && this.window > 0;
    if (queue.tail === "open" || stream.closed) return false;
    if (queue.tail !== "end") this.headers(stream.id, queue.tail, true);
    stream.endSent();
    return false;
  }

  resetStream(id: number, code: ErrorCode): void {
    this.#control(4, frame.RST_STREAM, 0, id);
    this.output.at = frame.writeUint32(this.output.block, this.output.at, code);
  }

  windowUpdate(id: number, increment: number): void {
    const { output } = this;
    output.reserve(frame.frameHeaderSize + 4);
    const at = frame.writeFrameHeader(output.block, output.at, 4, frame.WINDOW_UPDATE, 0, id);
    output.at = frame.writeUint32(output.block, at, increment);
  }

  /** @param entries ids and values in turn */
  settings(entries: readonly (readonly [id: number, value: number])[]): void {
    this.#control(entries.length * 6, frame.SETTINGS, 0, 0);
    const { output } = this;
    for (const [id, value] of entries) {
      output.block[output.at] = id >>> 8;
      output.block[output.at + 1] = id;
      output.at = frame.writeUint32(output.block, output.at + 2, value);
    }
  }

  settingsAck(): void {
    this.#control(0, frame.SETTINGS, frame.ACK, 0);
  }

  /** @param payload eight bytes */
  ping(payload: Uint8Array, ack: boolean): void {
    this.#control(8, frame.PING, ack ? frame.ACK : 0, 0);
    this.output.append(payload, 0, 8);
  }

  /** @param why debug data, ASCII; never anything of a call */
  goaway(lastStreamId: number, code: ErrorCode, why: string): void {
    const debug = Buffer.from(why, "latin1");
    this.#control(8 + debug.length, frame.GOAWAY, 0, 0);
    const { output } = this;
    const at = frame.writeUint32(output.block, output.at, lastStreamId);
    output.at = frame.writeUint32(output.block, at, code);
    output.append(debug, 0, debug.length);
  }

  /** Bytes as they are: the client's connection preface. */
  raw(bytes: Uint8Array): void {
    this.output.append(bytes, 0, bytes.length);
  }

  /**
   * False once more control frames than `limit` wait for a peer that asks and never reads (CVE-2019-9512, 9515). Counted in
   * halves: the second half begins where the first was written, and is judged by whether the first has left.
   */
  controlWithin(limit: number): boolean {
    if (this.#controlFrames * 2 <= limit) return true;
    const { output } = this;
    output.flush();
    if (output.written - output.buffered < this.#mark) return false;
    this.#mark = output.written;
    this.#controlFrames = 0;
    return true;
  }

  #control(length: number, type: number, flags: number, id: number): void {
    this.#controlFrames++;
    const { output } = this;
    output.reserve(frame.frameHeaderSize + length);
    output.at = frame.writeFrameHeader(output.block, output.at, length, type, flags, id);
  }

  /** A header block larger than one frame: HEADERS and CONTINUATION with nothing in between (section 4.3). */
  #continued(id: number, block: Uint8Array, flags: number): void {
    const { output, maxFrameSize } = this;
    for (let from = 0; from < block.length; from += maxFrameSize) {
      const to = Math.min(block.length, from + maxFrameSize);
      const type = from === 0 ? frame.HEADERS : frame.CONTINUATION;
      const all = (from === 0 ? flags : 0) | (to === block.length ? frame.END_HEADERS : 0);
      output.reserve(frame.frameHeaderSize);
      output.at = frame.writeFrameHeader(output.block, output.at, to - from, type, all, id);
      output.append(block, from, to);
    }
  }
}
