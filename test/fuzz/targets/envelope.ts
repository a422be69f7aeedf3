/** Fuzz: the envelope reader, beside a reading of the whole body in a few lines: however a body is cut, both see the same. */
import assert from "node:assert/strict";
import {
  EnvelopeReader,
  type EnvelopeSink,
  Handling,
  payloadLength,
  prefixLength,
} from "../../../src/wire/envelope.ts";
import { EnvelopeBoundary } from "../../../src/wire/envelope-boundary.ts";
import { Input, pieces } from "../input.ts";

/** Of the flags' bits 2 to 4, so that flags as they really are (0, 1, 2, 0x80) are passed or gathered. */
const handlings = [Handling.pass, Handling.gather, Handling.stream, Handling.pass, Handling.gather, Handling.refuse];

const limit = 600;

function handlingOf(flags: number, length: number): Handling {
  const handling = handlings[((flags >>> 2) & 7) % handlings.length]!;
  return handling === Handling.gather && length > limit ? Handling.refuse : handling;
}

/** What is told, in an order and a form that cuts don't change. */
class Told implements EnvelopeSink {
  readonly messages: string[] = [];
  readonly #reader = new EnvelopeReader(this);
  /** How often an envelope is to wait before it goes on. */
  #waits: number;
  #passed = "";
  #streamed = "";

  constructor(waits: number) {
    this.#waits = waits;
  }

  push(piece: Buffer): void {
    let at = 0;
    do {
      const stopped = this.#reader.push(piece, at, piece.length);
      assert(stopped >= at && stopped <= piece.length);
      assert(stopped === piece.length || this.#reader.waits);
      at = stopped;
    } while (at < piece.length || this.#reader.waits);
  }

  /** @returns all that was told, what isn't whole included */
  end(): string[] {
    const { stopped, atBoundary } = this.#reader;
    return [
      ...this.messages,
      `passed ${this.#passed}`,
      `streamed ${this.#streamed}`,
      stopped || atBoundary ? "whole" : "cut",
    ];
  }

  handlingOf(flags: number, length: number): Handling {
    if (this.#waits > 0 && this.#waits-- % 2 === 1) return Handling.wait;
    return handlingOf(flags, length);
  }

  onPass(bytes: Uint8Array, start: number, stop: number): void {
    assert(start < stop);
    this.#passed += Buffer.from(bytes.subarray(start, stop)).toString("hex");
  }

  onPiece(bytes: Uint8Array, start: number, stop: number, last: boolean): void {
    this.#streamed += Buffer.from(bytes.subarray(start, stop)).toString("hex") + (last ? "." : "");
  }

  onMessage(flags: number, payload: Uint8Array): void {
    assert(payload.length <= limit);
    this.messages.push(`${flags} ${Buffer.from(payload).toString("hex")}`);
  }

  onRefuse(flags: number, length: number): void {
    this.messages.push(`refused ${flags} ${length}`);
  }
}

function expected(body: Buffer): string[] {
  const messages: string[] = [];
  let passed = "";
  let streamed = "";
  let at = 0;
  let stopped = false;
  while (body.length - at >= prefixLength && !stopped) {
    const [flags, length] = [body[at]!, payloadLength(body, at)];
    const handling = handlingOf(flags, length);
    const payload = body.subarray(at + prefixLength, at + prefixLength + length);
    const whole = payload.length === length;
    if (handling === Handling.pass) passed += body.subarray(at, at + prefixLength + length).toString("hex");
    else if (handling === Handling.stream) streamed += payload.toString("hex") + (whole ? "." : "");
    else if (handling === Handling.refuse) messages.push(`refused ${flags} ${length}`);
    else if (whole) messages.push(`${flags} ${payload.toString("hex")}`);
    stopped = handling === Handling.refuse;
    at += prefixLength + length;
  }
  return [...messages, `passed ${passed}`, `streamed ${streamed}`, stopped || at === body.length ? "whole" : "cut"];
}

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const [how, waits] = [input.byte(), input.byte() % 8];
  const body = input.rest();
  const told = new Told(waits);
  const boundary = new EnvelopeBoundary(limit);
  let tooLong = 0;
  for (const piece of pieces(body, how)) {
    told.push(piece);
    if (tooLong === 0) tooLong = boundary.push(piece, 0, piece.length);
  }
  assert.deepEqual(told.end(), expected(body));
  checkBoundary(body, boundary, tooLong);
}

function checkBoundary(body: Buffer, boundary: EnvelopeBoundary, tooLong: number): void {
  let at = 0;
  while (body.length - at >= prefixLength) {
    const length = payloadLength(body, at);
    if (length > limit) return assert.equal(tooLong, length);
    at += prefixLength + length;
  }
  assert.equal(tooLong, 0);
  assert.equal(boundary.reached, at === body.length);
}
