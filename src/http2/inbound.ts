/** Inbound: what each frame of the peer means to the streams and the connection it is for (RFC 9113 sections 5 to 8). */
import type { ConnectionListener, ResetCause } from "./api.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import * as frame from "./frame.ts";
import { checkRequest, checkResponse, checkTrailers, listSize, type MessageHead } from "./message.ts";
import { PeerSettings, type PeerSettingsOwner } from "./peer-settings.ts";
import type { FrameSink } from "./receiver.ts";
import type { Http2Settings } from "./settings.ts";
import { type Http2Stream, leastInterim } from "./stream.ts";
import { turn } from "./turn.ts";

/** What inbound frames need of the connection. */
export interface InboundOwner extends PeerSettingsOwner {
  readonly settings: Http2Settings;
  readonly listener: ConnectionListener;
  /** Streams of the peer above this id come too late: GOAWAY has been sent. */
  readonly acceptUpTo: number;
  /** Makes a stream, which the peer has opened. */
  newStream(id: number): Http2Stream;
  /** The peer broke a rule on this stream only (section 5.4.2): RST_STREAM, and the listener is told. */
  fault(stream: Http2Stream, code: ErrorCode): void;
  /** RST_STREAM for a stream that is not open. */
  refuse(id: number, code: ErrorCode): void;
  /** The stream is over: no frame goes out for it. */
  close(stream: Http2Stream): void;
  /** The peer has reset the stream or will not answer it: over, and the listener is told. */
  abandon(stream: Http2Stream, code: ErrorCode, cause: ResetCause): void;
  /** The peer has reset a stream early: counts against its budget. */
  countReset(): void;
  pingAcked(payload: Uint8Array): void;
  /** The peer takes no new streams, and does nothing for those above the last id. */
  goneAway(lastStreamId: number, code: ErrorCode): void;
}

export class Inbound implements FrameSink {
  #receiveWindow: number;
  #uncredited = 0;
  #settingsAcked = false;
  readonly #peerSettings: PeerSettings;
  readonly #owner: InboundOwner;

  constructor(owner: InboundOwner) {
    this.#owner = owner;
    this.#peerSettings = new PeerSettings(owner);
    this.#receiveWindow = owner.settings.connectionWindowSize;
  }

  /** The send window that new streams begin with. */
  get peerInitialWindow(): number {
    return this.#peerSettings.initialWindow;
  }

  /**
   * Credit of the connection comes back on receipt, credit of a stream only as its bytes are taken: else a few streams
   * that nobody reads would use up the connection for all the others (fault D2).
   */
  onDataFrame(id: number, length: number): Http2Stream | undefined {
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0)
      throw new ConnectionError(ErrorCode.flowControlError, "DATA beyond the connection's window");
    this.#uncredited += length;
    const { sender, settings } = this.#owner;
    if (this.#uncredited * 2 >= settings.connectionWindowSize) {
      sender.windowUpdate(0, this.#uncredited);
      this.#receiveWindow += this.#uncredited;
      this.#uncredited = 0;
    }
    const stream = this.#streamFor(id, "DATA");
    if (stream === undefined) return undefined;
    if (stream.remoteEnded || !stream.headed) {
      this.#owner.fault(stream, stream.headed ? ErrorCode.streamClosed : ErrorCode.protocolError);
      return undefined;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      this.#owner.fault(stream, ErrorCode.flowControlError);
      return undefined;
    }
    return stream;
  }

  onDataBytes(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (stream.closed) return;
    stream.lastActive = turn.now;
    if (stream.promised >= 0) {
      stream.promised -= stop - start;
      if (stream.promised < 0 || (end && stream.promised > 0)) {
        return this.#owner.fault(stream, ErrorCode.protocolError); // section 8.1.1: content-length and DATA differ
      }
    }
    if (end) stream.remoteEnded = true;
    stream.listener.onData(bytes, start, stop, end);
    if (end) this.#closeIfBothEnded(stream);
  }

  onPadding(stream: Http2Stream, length: number): void {
    stream.consume(length);
  }

  onHeaderBlock(id: number, fields: Field[] | undefined, end: boolean): void {
    const stream = this.#owner.streams.get(id);
    if (stream !== undefined) {
      stream.lastActive = turn.now;
      if (stream.headed) this.#onTrailers(stream, fields, end);
      else this.#onResponse(stream, fields, end);
    } else if (this.#owner.isServer && (id & 1) === 1 && id > this.#owner.streams.lastPeerId) {
      this.#onRequest(id, fields, end);
    } else {
      this.#streamFor(id, "HEADERS");
    }
  }

  #onRequest(id: number, fields: Field[] | undefined, end: boolean): void {
    const owner = this.#owner;
    const { streams, settings } = owner;
    streams.lastPeerId = id;
    if (id > owner.acceptUpTo) return streams.rememberReset(id);
    if (streams.size >= settings.maxConcurrentStreams) {
      // before the peer has acked our SETTINGS it can't know the limit, so that isn't held against it.
      if (this.#settingsAcked) owner.countReset();
      owner.listener.onLimit?.("maxConcurrentStreams");
      return owner.refuse(id, ErrorCode.refusedStream);
    }
    const head = fields === undefined ? undefined : checkRequest(fields);
    if (fields === undefined || head === undefined || head.fault !== undefined || (end && head.contentLength > 0)) {
      owner.countReset();
      if (fields === undefined) owner.listener.onLimit?.("maxHeaderListSize");
      return owner.refuse(id, fields === undefined ? ErrorCode.enhanceYourCalm : ErrorCode.protocolError);
    }
    const stream = owner.newStream(id);
    stream.headed = true;
    stream.remoteEnded = end;
    stream.promised = head.contentLength;
    stream.listener = owner.listener.onRequest!(stream, fields, end);
  }

  #onResponse(stream: Http2Stream, fields: Field[] | undefined, end: boolean): void {
    if (fields === undefined) return this.#owner.fault(stream, ErrorCode.enhanceYourCalm);
    const head: MessageHead = checkResponse(fields);
    const interim = head.status < 200;
    const bodyless = stream.bodyless || head.status === 204 || head.status === 304;
    if (head.fault !== undefined || (end && (interim || (head.contentLength > 0 && !bodyless)))) {
      return this.#owner.fault(stream, ErrorCode.protocolError);
    }
    if (interim) {
      stream.interimLeft -= Math.max(listSize(fields), leastInterim);
      if (stream.interimLeft < 0) return this.#owner.fault(stream, ErrorCode.enhanceYourCalm);
    }
    stream.headed = !interim;
    stream.remoteEnded = end;
    stream.promised = bodyless ? -1 : head.contentLength;
    stream.listener.onHeaders(fields, end);
    if (end) this.#closeIfBothEnded(stream);
  }

  #onTrailers(stream: Http2Stream, fields: Field[] | undefined, end: boolean): void {
    if (stream.remoteEnded) return this.#owner.fault(stream, ErrorCode.streamClosed);
    if (fields === undefined) return this.#owner.fault(stream, ErrorCode.enhanceYourCalm);
    if (!end || stream.promised > 0 || checkTrailers(fields) !== undefined) {
      return this.#owner.fault(stream, ErrorCode.protocolError);
    }
    stream.remoteEnded = true;
    stream.listener.onTrailers(fields);
    this.#closeIfBothEnded(stream);
  }

  onReset(id: number, code: ErrorCode): void {
    const stream = this.#owner.streams.get(id);
    if (stream === undefined) {
      if (this.#owner.streams.isIdle(id)) throw idle("RST_STREAM", id);
      return;
    }
    // a client that has its answer may so tell that no more of its request comes; any other reset costs us work in vain
    if (code !== ErrorCode.noError || !stream.localEnded) this.#owner.countReset();
    this.#owner.abandon(stream, code, code === ErrorCode.refusedStream ? "unprocessed" : "peer");
  }

  onSettings(entries: readonly (readonly [id: number, value: number])[]): void {
    const { sender, listener } = this.#owner;
    const first = this.#peerSettings.apply(entries);
    sender.settingsAck();
    this.#checkControlFrames();
    if (first) listener.onReady?.();
    else listener.onRoom?.();
    sender.pump();
  }

  get partsSent(): number {
    return this.#owner.sender.partsSent;
  }

  onSettingsAck(): void {
    this.#settingsAcked = true;
  }

  onPing(payload: Uint8Array): void {
    this.#owner.sender.ping(payload, true);
    this.#checkControlFrames();
  }

  onPingAck(payload: Uint8Array): void {
    this.#owner.pingAcked(payload);
  }

  onGoaway(lastStreamId: number, code: ErrorCode): void {
    if (!this.#owner.isServer) this.#owner.goneAway(lastStreamId, code); // a client's is of pushes, of which there are none
  }

  onWindowUpdate(id: number, increment: number): void {
    const { sender } = this.#owner;
    if (id === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.protocolError, "WINDOW_UPDATE of 0");
      sender.window += increment;
      if (sender.window > frame.maxInt31) throw new ConnectionError(ErrorCode.flowControlError, "window beyond 2^31-1");
      return sender.pump();
    }
    const stream = this.#owner.streams.get(id);
    if (stream === undefined) {
      if (this.#owner.streams.isIdle(id)) throw idle("WINDOW_UPDATE", id);
      return;
    }
    if (increment === 0) return this.#owner.fault(stream, ErrorCode.protocolError);
    stream.sendWindow += increment;
    if (stream.sendWindow > frame.maxInt31) return this.#owner.fault(stream, ErrorCode.flowControlError);
    if (stream.queue === undefined) return;
    stream.lastActive = turn.now;
    sender.wait(stream);
    sender.pump();
  }

  /** The open stream, or undefined where the frame is to be let pass; anything else is the peer's error. */
  #streamFor(id: number, what: string): Http2Stream | undefined {
    const { streams } = this.#owner;
    const stream = streams.get(id);
    if (stream !== undefined || streams.wasReset(id)) return stream;
    if (streams.isIdle(id)) throw idle(what, id);
    throw new ConnectionError(ErrorCode.streamClosed, `${what} on stream ${id}, which is closed`);
  }

  #closeIfBothEnded(stream: Http2Stream): void {
    if (stream.localEnded && stream.queue === undefined && !stream.closed) this.#owner.close(stream);
  }

  #checkControlFrames(): void {
    const { maxQueuedControlFrames } = this.#owner.settings;
    if (!this.#owner.sender.controlWithin(maxQueuedControlFrames)) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `more than ${maxQueuedControlFrames} control frames unread`);
    }
  }
}

function idle(what: string, id: number): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, `${what} on stream ${id}, which is idle`);
}
