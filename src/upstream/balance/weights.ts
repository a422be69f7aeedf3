/** Draws by weight: a share of all draws as large as the weight's share of their sum. */

/** The sum of the weights up to each one, itself included. */
export function cumulative(weighted: readonly { readonly weight: number }[]): number[] {
  let sum = 0;
  return weighted.map(({ weight }) => {
    sum += weight;
    return sum;
  });
}

/**
 * @param sums from `cumulative()`, the last above 0
 * @param random a number in [0, 1)
 * @returns an index into `sums`, never that of a weight of 0
 */
export function drawByWeight(sums: readonly number[], random: number): number {
  const point = random * sums.at(-1)!;
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (point < sums[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}
