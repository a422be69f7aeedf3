/** Texts to compress, the same each time, so that what was made of them can stand in a file. */

/** Numbers from 0 to 2^31, the same for the same seed (the C library's generator). */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state >>> 8;
  };
}

/** By name; each takes another way through a compressor. */
export const samples: Record<string, () => Buffer> = {
  empty: () => Buffer.alloc(0),
  short: () => Buffer.from('{"error":{"code":"unavailable"}}'),
  "one byte over and over": () => Buffer.alloc(40_000, "x"),
  "nothing to compress": () => {
    const next = numbers(1);
    return Buffer.from(Array.from({ length: 700 }, () => next() & 0xff));
  },
  records: () => {
    const next = numbers(2);
    let text = "";
    for (let i = 0; i < 40; i++)
      text += JSON.stringify({ id: next() % 1000, name: `user ${next() % 10}`, on: next() % 2 });
    return Buffer.from(text);
  },
  "a long distance back": () => {
    const next = numbers(3);
    const block = Buffer.from(Array.from({ length: 300 }, () => 97 + (next() % 26)));
    return Buffer.concat(Array.from({ length: 500 }, (_, i) => (i % 7 === 3 ? Buffer.alloc(90, i) : block)));
  },
  "few letters": () => {
    const next = numbers(4);
    return Buffer.from(Array.from({ length: 1500 }, () => 97 + Math.min(next() % 7, next() % 5)));
  },
};
