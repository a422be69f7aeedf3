/** Mutate: makes an input of others: by bytes, by words of the source, and, for a target that has such, in its own way. */

/** A number from 0 up to a bound. */
export type Next = (below: number) => number;

/** A target's own way; `undefined` where it has none for these bytes. */
export type OwnWay = (bytes: Buffer, next: Next) => Buffer | undefined;

export interface Material {
  /** Inputs to take parts of. */
  readonly others: readonly Buffer[];
  readonly words: readonly Buffer[];
  readonly ownWay: OwnWay | undefined;
  readonly maxLength: number;
}

const notable = [0, 1, 2, 3, 4, 5, 8, 9, 10, 13, 16, 32, 0x3f, 0x40, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff];
const wide = [
  0,
  1,
  127,
  128,
  255,
  256,
  4_096,
  16_383,
  16_384,
  16_385,
  32_767,
  65_535,
  65_536,
  2 ** 24 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** One to eight changes, mostly few. */
export function mutate(bytes: Buffer, next: Next, material: Material): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  for (let changes = 1 + next(1 << next(4)); changes > 0; changes--) {
    const own = next(3) === 0 ? material.ownWay?.(mutated, next) : undefined;
    mutated = own ?? change(mutated, next, material);
  }
  return mutated.subarray(0, material.maxLength);
}

function change(bytes: Buffer, next: Next, { others, words }: Material): Buffer {
  const at = next(bytes.length + 1);
  const length = 1 + next(next(4) === 0 ? 64 : 6);
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (next(13)) {
    case 0:
      return overwritten(bytes, at, Buffer.from([(bytes[at] ?? 0) ^ (1 << next(8))]));
    case 1:
      return overwritten(bytes, at, Buffer.from([next(256)]));
    case 2:
      return overwritten(bytes, at, Buffer.from([notable[next(notable.length)]!]));
    case 3:
      return overwritten(bytes, at, number(next));
    case 4:
      return overwritten(bytes, at, Buffer.from([((bytes[at] ?? 0) + next(9) - 4) & 0xff]));
    case 5:
      return Buffer.concat([head, tail.subarray(length)]);
    case 6:
      return Buffer.concat([head, Buffer.from(Array.from({ length }, () => next(256))), tail]);
    case 7:
      return Buffer.concat([head, Buffer.alloc(length, next(256)), tail]);
    case 8:
      return Buffer.concat([head, tail.subarray(0, length * 4), tail]);
    case 9:
    case 10: {
      const word = words.length === 0 ? number(next) : words[next(words.length)]!;
      return next(2) === 0 ? overwritten(bytes, at, word) : Buffer.concat([head, word, tail]);
    }
    case 11: {
      const other = partOf(others, next);
      return next(2) === 0 ? Buffer.concat([head, other, tail]) : overwritten(bytes, at, other);
    }
    default: {
      const other = others[next(others.length)] ?? bytes;
      return Buffer.concat([head, other.subarray(next(2) === 0 ? at : next(other.length + 1))]);
    }
  }
}

function partOf(others: readonly Buffer[], next: Next): Buffer {
  const other = others[next(others.length)] ?? Buffer.alloc(1);
  const from = next(other.length);
  return other.subarray(from, from + 1 + next(64));
}

/** In 2 to 4 bytes, either end first. */
function number(next: Next): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(wide[next(wide.length)]!);
  const some = bytes.subarray(next(3));
  return next(4) === 0 ? Buffer.from(some).reverse() : some;
}

function overwritten(bytes: Buffer, at: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + by.length)]);
}
