import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  EnvelopeReader,
  type EnvelopeSink,
  envelope,
  envelopePrefix,
  Handling,
  writePrefix,
} from "../../src/wire/envelope.ts";

interface Message {
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** Notes what a reader tells, payload pieces joined. */
class Notes implements EnvelopeSink {
  readonly passed: number[] = [];
  passes = 0;
  readonly messages: Message[] = [];
  readonly streamed: Message[] = [];
  readonly refused: [flags: number, length: number][] = [];
  readonly order: string[] = [];
  readonly #choose: (flags: number, length: number) => Handling;
  #piece: number[] = [];
  #flags = 0;

  constructor(choose: (flags: number, length: number) => Handling) {
    this.#choose = choose;
  }

  handlingOf(flags: number, length: number): Handling {
    this.#flags = flags;
    return this.#choose(flags, length);
  }

  onPass(bytes: Uint8Array, start: number, stop: number): void {
    expect(stop).toBeGreaterThan(start);
    this.passes++;
    this.order.push("pass");
    this.passed.push(...bytes.subarray(start, stop));
  }

  onPiece(bytes: Uint8Array, start: number, stop: number, last: boolean): void {
    this.#piece.push(...bytes.subarray(start, stop));
    if (!last) return;
    this.order.push("streamed");
    this.streamed.push({ flags: this.#flags, payload: Uint8Array.from(this.#piece) });
    this.#piece = [];
  }

  onMessage(flags: number, payload: Uint8Array): void {
    this.order.push("message");
    this.messages.push({ flags, payload: payload.slice() });
  }

  onRefuse(flags: number, length: number): void {
    this.order.push("refuse");
    this.refused.push([flags, length]);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Pushes all of `body` in pieces of the given lengths, over and over, each in the middle of a larger array. */
function pushAll(reader: EnvelopeReader, body: Uint8Array, lengths: readonly number[]): void {
  for (let at = 0, i = 0; at < body.length; i++) {
    const upTo = Math.min(body.length, at + lengths[i % lengths.length]!);
    reader.push(Uint8Array.from([9, 9, ...body.subarray(at, upTo), 9]), 2, 2 + upTo - at);
    at = upTo;
  }
}

const message = fc.record({ flags: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 40 }) });
const lengths = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

describe("EnvelopeReader", () => {
  it("hands every envelope on in the way that was chosen for it, however the body is split", () => {
    const handling = (flags: number) => (flags % 3) as Handling; // pass, stream or gather
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), lengths, (messages, split) => {
        const notes = new Notes(handling);
        const reader = new EnvelopeReader(notes);
        pushAll(reader, join(messages.map(({ flags, payload }) => envelope(flags, payload))), split);
        const of = (wanted: Handling) => messages.filter(({ flags }) => handling(flags) === wanted);
        expect(notes.passed).toEqual([
          ...join(of(Handling.pass).map(({ flags, payload }) => envelope(flags, payload))),
        ]);
        expect(notes.streamed).toEqual(of(Handling.stream));
        expect(notes.messages).toEqual(of(Handling.gather));
        expect(reader.atBoundary).toBe(true);
      }),
    );
  });

  it("passes a run of envelopes in one piece as one range of that piece", () => {
    const notes = new Notes((flags) => (flags === 0x80 ? Handling.gather : Handling.pass));
    const three = [1, 2, 3].map((n) => envelope(0, new Uint8Array(n)));
    new EnvelopeReader(notes).push(join([...three, envelope(0x80, Uint8Array.of(7))]), 0, 27);
    expect(notes.passes).toBe(1);
    expect(notes.passed).toHaveLength(21);
    expect(notes.messages).toEqual([{ flags: 0x80, payload: Uint8Array.of(7) }]);
    expect(notes.order).toEqual(["pass", "message"]);
  });

  it("stops before an envelope that waits, and asks again with the bytes that follow, however the body is split", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), lengths, fc.nat({ max: 3 }), (messages, split, times) => {
        let left = times;
        const notes = new Notes((flags) => {
          if (left-- > 0) return Handling.wait;
          left = times;
          return (flags % 3) as Handling; // pass, stream or gather
        });
        const reader = new EnvelopeReader(notes);
        const body = join(messages.map(({ flags, payload }) => envelope(flags, payload)));
        for (let at = 0, i = 0; at < body.length; i++) {
          const upTo = Math.min(body.length, at + split[i % split.length]!);
          for (let from = at; from < upTo; ) from = reader.push(body, from, upTo);
          at = upTo;
        }
        while (reader.waits) {
          expect(reader.atBoundary).toBe(false);
          reader.push(body, 0, 0);
        }
        expect(reader.atBoundary).toBe(true);
        const handled = (handling: Handling) => messages.filter(({ flags }) => flags % 3 === handling);
        const passed = handled(Handling.pass).map(({ flags, payload }) => envelope(flags, payload));
        expect(notes.passed).toEqual([...join(passed)]);
        expect(notes.streamed).toEqual(handled(Handling.stream));
        expect(notes.messages).toEqual(handled(Handling.gather));
      }),
    );
  });

  it("gives a view of the piece for a payload that lies in it", () => {
    const body = envelope(0, Uint8Array.of(1, 2, 3));
    let view: Uint8Array | undefined;
    const sink: EnvelopeSink = {
      handlingOf: () => Handling.gather,
      onMessage(_flags, payload) {
        view = payload;
      },
    };
    new EnvelopeReader(sink).push(body, 0, body.length);
    expect(view?.buffer).toBe(body.buffer);
  });

  it("refuses a message over the limit at its prefix, after all that came before it, and nothing after", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), lengths, (before, split) => {
        const limit = 4 << 20;
        const notes = new Notes((_flags, length) => (length > limit ? Handling.refuse : Handling.gather));
        const reader = new EnvelopeReader(notes);
        const earlier = before.map(({ flags, payload }) => envelope(flags, payload));
        pushAll(reader, join([...earlier, envelopePrefix(1, 64 << 20), new Uint8Array(20)]), split);
        expect(notes.messages).toEqual(before);
        expect(notes.refused).toEqual([[1, 64 << 20]]);
        expect(notes.order.at(-1)).toBe("refuse");
        expect(reader.stopped).toBe(true);
      }),
    );
  });

  it("allocates for what came and not for what was announced", () => {
    const reader = new EnvelopeReader({ handlingOf: () => Handling.gather });
    const before = process.memoryUsage().arrayBuffers;
    reader.push(envelopePrefix(0, 1 << 30), 0, 5);
    reader.push(new Uint8Array(100), 0, 100);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(reader.atBoundary).toBe(false);
  });

  it.each([
    ["nothing", [], true],
    ["four bytes of a prefix", [0, 0, 0, 0], false],
    ["a prefix without its payload", [0, 0, 0, 0, 1], false],
    ["an empty message", [0, 0, 0, 0, 0], true],
    ["a message cut short", [0, 0, 0, 0, 3, 1, 2], false],
  ])("knows whether a body may end after %s", (_what, bytes, boundary) => {
    for (const handling of [Handling.pass, Handling.stream, Handling.gather]) {
      const reader = new EnvelopeReader({ handlingOf: () => handling });
      reader.push(Uint8Array.from(bytes), 0, bytes.length);
      expect(reader.atBoundary).toBe(boundary);
    }
  });

  it("stops within a call of its sink", () => {
    const seen: number[] = [];
    const reader: EnvelopeReader = new EnvelopeReader({
      handlingOf: () => Handling.gather,
      onMessage(flags) {
        seen.push(flags);
        reader.stop();
      },
    });
    reader.push(join([envelope(1, Uint8Array.of(1)), envelope(2, Uint8Array.of(2))]), 0, 12);
    expect(seen).toEqual([1]);
  });

  it("reads lengths above 2^31", () => {
    const notes = new Notes(() => Handling.refuse);
    new EnvelopeReader(notes).push(Uint8Array.of(0x81, 0xff, 0xff, 0xff, 0xff), 0, 5);
    expect(notes.refused).toEqual([[0x81, 2 ** 32 - 1]]);
  });
});

describe("writePrefix()", () => {
  it("writes the length with its highest byte first", () => {
    const target = new Uint8Array(7);
    writePrefix(target, 1, 0x81, 0xfedcba98);
    expect([...target]).toEqual([0, 0x81, 0xfe, 0xdc, 0xba, 0x98, 0]);
  });
});
