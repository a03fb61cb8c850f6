// Vectors marked "specification" or "reference" are facts from github.com/appc/spec at 259c2ee (spec/ace.md and
// schema/types/resource/quantity_test.go; Apache-2.0, Copyright 2015 The appc Authors and 2014 The Kubernetes Authors).
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuantity, wholeUnits } from '../../src/appc/index.ts';

const k = 1000n;
const [Ki, Mi, Gi, Ti, Pi, Ei] = [10n, 20n, 30n, 40n, 50n, 60n].map((power) => 1n << power) as [
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
];

describe('quantities (ace.md#resource-isolators)', () => {
  it('specification: "128974848", "125952Ki" and "123Mi" are the same', () => {
    expect(parseQuantity('128974848')).toBe(128974848n * k);
    expect(parseQuantity('125952Ki')).toBe(128974848n * k);
    expect(parseQuantity('123Mi')).toBe(128974848n * k);
  });

  it.each([
    // Suffixes of the text
    ['specification', '1K', 1000n],
    ['specification', '7M', 7n * k ** 2n],
    ['specification', '6G', 6n * k ** 3n],
    ['specification', '5T', 5n * k ** 4n],
    ['specification', '2P', 2n * k ** 5n],
    ['specification', '1E', k ** 6n],
    ['specification', '8Ki', 8n * Ki],
    ['specification', '7Mi', 7n * Mi],
    ['specification', '6Gi', 6n * Gi],
    ['specification', '5Ti', 5n * Ti],
    ['specification', '4Pi', 4n * Pi],
    ['specification', '3Ei', 3n * Ei],
    // What only the reference has
    ['reference', '8k', 8n * k],
    ['reference', '50k', 50n * k],
    ['reference', '40T', 40n * k ** 4n],
    ['reference', '300T', 300n * k ** 4n],
    ['reference', '100Ti', 100n * Ti],
    ['reference', '1e3', k],
    ['reference', '1E6', k ** 2n],
    ['reference', '1E18', k ** 6n],
    ['reference', '1e14', 10n ** 14n],
    ['reference', '1.3E+6', 1300000n],
    ['reference', '1.40e9', 1400000000n],
    ['reference', '1.7E18', 17n * 10n ** 17n],
    ['reference', '100.035k', 100035n],
    ['reference', '10.035M', 10035000n],
    ['reference', '7.123456M', 7123456n],
    ['reference', '6.987654321G', 6987654321n],
    ['reference', '1.01E', 101n * 10n ** 16n],
    ['reference', '0.5Mi', Mi / 2n],
    ['reference', '1.', 1n],
    ['reference', '1.G', k ** 3n],
    ['reference', '+7', 7n],
    // The reference saturates at 2^63-1 or overflows to 0; integers here have no end.
    ['ours', '9Ei', 9n * Ei],
    ['ours', '12E', 12n * k ** 6n],
    ['ours', '9223372036854775807Ki', 9223372036854775807n * Ki],
  ])('%s: %j is exact', (_source, text, units) => {
    expect(parseQuantity(text)).toBe(units * k);
  });

  it.each([
    ['specification', '0.3', 300n],
    ['specification', '300m', 300n],
    ['specification', '250m', 250n],
    ['reference', '3m', 3n],
    ['reference', '1E-3', 1n],
    ['reference', '0.001', 1n],
    ['reference', '0.0005k', 500n],
    ['reference', '0.05000', 50n],
    ['reference', '0.5e-1', 50n],
    ['reference', '9.01', 9010n],
    ['reference', '.001', 1n],
    ['reference', '.0001k', 100n],
    ['reference', '100.035Ki', 102435840n],
    ['reference', '0.05Gi', 53687091200n],
    // The reference keeps 10^-9; finer than a thousandth is rounded up here.
    ['ours', '5n', 1n],
    ['ours', '4u', 1n],
    ['ours', '1001u', 2n],
    ['ours', '0.0000000001', 1n],
    ['ours', '0.000000000001Ki', 1n],
    ['ours', '0.3001', 301n],
  ])('%s: %j in thousandths', (_source, text, milli) => {
    expect(parseQuantity(text)).toBe(milli);
  });

  it.each(['0', '0n', '0u', '0m', '0Ki', '0k', '0Mi', '0M', '0Gi', '0G', '0Ti', '0T', '0e64', '0.000'])(
    'reference: %j is nothing',
    (text) => {
      expect(parseQuantity(text)).toBe(0n);
    },
  );

  it('reference: a JSON number is one too', () => {
    expect(parseQuantity(2048)).toBe(2048000n);
    expect(parseQuantity(0.3)).toBe(300n);
    expect(parseQuantity(1e-7)).toBe(1n);
    expect(parseQuantity(2n ** 64n)).toBe(18446744073709551616000n);
  });

  it.each([
    ...['', '1.1.M', '1+1.0M', '0.1mi', '0.1am', 'aoeu', '.5i', '1i', '-3.01i', '-3.01e-', ' 1', '1 '].map(
      (text) => ['reference', text],
    ),
    // The reference takes these: negative amounts have no meaning, and a dot is no number.
    ...['-5M', '-0.1', '-0', '.', '-.'].map((text) => ['ours', text]),
    ...['1KB', '1ki', '0x10', '1e', '1e65', '1e-65', '1e99999999999', '1_000', '١', '9'.repeat(65)].map(
      (text) => ['ours', text],
    ),
  ])('%s: %j is no quantity', (_source, text = '') => {
    expect(() => parseQuantity(text)).toThrow('expected a quantity such as');
  });

  it('is never rounded down: not by suffix, not to whole units', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 30n), (nano) => {
        const milli = parseQuantity(`${nano.toString()}n`);
        expect(milli * 1_000_000n >= nano && (milli - 1n) * 1_000_000n < nano).toBe(true);
        expect(wholeUnits(milli) * 1000n >= milli && (wholeUnits(milli) - 1n) * 1000n < milli).toBe(true);
      }),
    );
  });

  it('means the same with a decimal point as with the next smaller suffix', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 20n), fc.nat(999), (whole, rest) => {
        const fraction = String(rest).padStart(3, '0');
        expect(parseQuantity(`${whole.toString()}.${fraction}M`)).toBe(
          parseQuantity(`${(whole * 1000n + BigInt(rest)).toString()}k`),
        );
      }),
    );
  });
});

describe('whole units', () => {
  it.each([
    [0n, 0n],
    [1n, 1n],
    [1000n, 1n],
    [1001n, 2n],
    [9010n, 10n],
  ])('reference (TestQuantityRoundUp): %s thousandths are %s', (milli, units) => {
    expect(wholeUnits(milli)).toBe(units);
  });
});
