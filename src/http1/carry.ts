/** Carry: the begin of a line whose end has not come yet. */

/** Bytes that there is room for at first, and all the time while nothing is carried. */
const firstRoom = 256;

const nothing = new Uint8Array(0);

export class Carry {
  /** What is carried lies from 0 to `length`. */
  bytes = nothing;
  length = 0;

  add(bytes: Uint8Array, start: number, stop: number): void {
    const length = this.length + stop - start;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(firstRoom, length, this.bytes.length * 2));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(bytes.subarray(start, stop), this.length);
    this.length = length;
  }

  /** Gives the line away: its bytes stay as they are until more are added. */
  take(): number {
    const { length } = this;
    this.length = 0;
    return length;
  }

  /** Lets go of memory that was needed once. */
  trim(): void {
    if (this.length === 0 && this.bytes.length > firstRoom) this.bytes = nothing;
  }
}
