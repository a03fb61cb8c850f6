/**
 * `percent` of `size`; exact where that is a whole number: 1000 * 16.1 / 100 is 161.00000000000003,
 * of which the next whole number is 162.
 * @param percent 0…100, to thousandths
 */
export function partOf(size: number, percent: number): number {
  return (size * Math.round(percent * 1000)) / 100_000;
}
