/** Output of a connection: frames gathered in one block during a turn, written to the socket at its end. */
import type { ByteSocket } from "./api.ts";
import { atEndOfTurn, type TurnTask } from "./turn.ts";

const firstBlock = 1 << 10;
const largestBlock = 64 << 10;

/** Payloads from this size on are not copied but written as slices of what was read; below, copying is cheaper. */
const sliceFrom = 4 << 10;

/** Up to here a loop beats `TypedArray.set`, which needs a view of the source first. */
const loopUpTo = 48;

export class Output implements TurnTask {
  /** The block that is being filled. Written at `at` after `reserve`; what is in flight lies before and is never touched. */
  block: Uint8Array = Buffer.allocUnsafeSlow(firstBlock);
  /** Offset in `block` where the next frame goes. */
  at = 0;
  /** True while more bytes wait in the socket than `maxBuffered`: DATA stays in its stream until `onDrain`. */
  congested = false;
  /** Bytes given to the socket in the life of the connection. */
  written = 0;
  #from = 0;
  #pieces: Uint8Array[] = [];
  /** Frames that stand in what was read, from `#runStart` to `#runStop`: more of them may follow. */
  #run: Uint8Array | undefined;
  #runStart = 0;
  #runStop = 0;
  #piecesLength = 0;
  #scheduled = false;
  #closed = false;
  readonly #socket: ByteSocket;
  readonly #maxBuffered: number;

  constructor(socket: ByteSocket, maxBuffered: number) {
    this.#socket = socket;
    this.#maxBuffered = maxBuffered;
  }

  /** Makes room for so many bytes in one run at `at`, and sees to it that they leave at the end of the turn. */
  reserve(bytes: number): void {
    if (this.#run !== undefined) this.#endRun(this.#run);
    if (this.block.length - this.at < bytes) this.#nextBlock(bytes);
    this.#schedule();
  }

  /**
   * Appends a whole frame that stands in the bytes that were read (see `headroom`). Frames that stand one behind the other
   * leave as one slice: that halves the CPU per message of a stream, and takes a third off that of large messages.
   */
  appendInPlace(bytes: Uint8Array, start: number, stop: number): void {
    if (bytes === this.#run && start === this.#runStop) {
      this.#runStop = stop;
      return;
    }
    if (this.#run !== undefined) this.#endRun(this.#run);
    this.#run = bytes;
    this.#runStart = start;
    this.#runStop = stop;
    this.#schedule();
  }

  /** Appends a payload: small ones by copy, large ones as they are. */
  append(bytes: Uint8Array, start: number, stop: number): void {
    if (stop - start < sliceFrom) {
      this.reserve(stop - start);
      return this.#copy(bytes, start, stop);
    }
    this.#schedule(); // HTTP/1.1 has bodies without any frame header
    this.#slice(bytes, start, stop);
  }

  /** Bytes that were given to the socket and that it still holds. */
  get buffered(): number {
    return this.#socket.writableLength;
  }

  endTurn(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Writes all that was gathered. Called by the turn; earlier only where a limit asks for it. */
  flush(): void {
    if (this.#closed) return;
    const socket = this.#socket;
    let took = true;
    if (this.#run !== undefined) this.#endRun(this.#run);
    if (this.#pieces.length === 0) {
      if (this.at === this.#from) return;
      this.written += this.at - this.#from;
      took = socket.write(this.block.subarray(this.#from, this.at));
      this.#from = this.at;
    } else {
      this.#seal();
      const pieces = this.#pieces;
      this.written += this.#piecesLength;
      this.#pieces = [];
      this.#piecesLength = 0;
      socket.cork();
      for (const piece of pieces) took = socket.write(piece);
      socket.uncork();
    }
    // only a socket that says no tells when it has room again
    this.congested = !took && socket.writableLength > this.#maxBuffered;
  }

  /** The socket has taken all it was given. */
  drained(): void {
    this.congested = false;
  }

  /** Nothing is written any more. */
  close(): void {
    this.#closed = true;
    this.#pieces = [];
    this.#run = undefined;
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    atEndOfTurn(this);
  }

  #copy(bytes: Uint8Array, start: number, stop: number): void {
    const { block } = this;
    let { at } = this;
    if (stop - start <= loopUpTo) for (let from = start; from < stop; from++) block[at++] = bytes[from]!;
    else block.set(bytes.subarray(start, stop), at);
    this.at += stop - start;
  }

  #slice(bytes: Uint8Array, start: number, stop: number): void {
    this.#seal();
    this.#pieces.push(bytes.subarray(start, stop));
    this.#piecesLength += stop - start;
    if (this.#piecesLength > this.#maxBuffered) this.flush();
  }

  /** A run has ended: a long one leaves as it stands, a short one isn't worth a piece. */
  #endRun(run: Uint8Array): void {
    const length = this.#runStop - this.#runStart;
    this.#run = undefined;
    if (length >= sliceFrom) return this.#slice(run, this.#runStart, this.#runStop);
    if (this.block.length - this.at < length) this.#nextBlock(length);
    this.#copy(run, this.#runStart, this.#runStop);
  }

  /** Closes the run of bytes that the block has gathered since the last piece. */
  #seal(): void {
    if (this.at === this.#from) return;
    this.#pieces.push(this.block.subarray(this.#from, this.at));
    this.#piecesLength += this.at - this.#from;
    this.#from = this.at;
  }

  /** Blocks grow with use: an idle connection keeps a small one. */
  #nextBlock(bytes: number): void {
    this.#seal();
    const size = Math.max(bytes, Math.min(this.block.length * 2, largestBlock));
    this.block = Buffer.allocUnsafeSlow(size);
    this.at = 0;
    this.#from = 0;
  }
}
