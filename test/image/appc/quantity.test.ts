// Labels as in docs/appc-checklist.md. The vectors of the reference are in quantity-vectors.ts;
// those below are from spec/ace.md.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuantity, wholeUnits } from '../../../src/image/appc/quantity.ts';
import { compared, parsed, written } from './quantity-vectors.ts';

const k = 1000n;
/** `amount` in units that are `size` times as large, rounded up. */
const roundUp = (amount: bigint, size: bigint): bigint => (amount + size - 1n) / size;

describe('[A5.13] quantities (ace.md#resource-isolators)', () => {
  it('specification: "128974848", "125952Ki" and "123Mi" are the same', () => {
    expect(parseQuantity('128974848')).toBe(128974848n * k);
    expect(parseQuantity('125952Ki')).toBe(128974848n * k);
    expect(parseQuantity('123Mi')).toBe(128974848n * k);
  });

  it.each(parsed)('%s: %j is exact, to the thousandth, with and without a plus', (_source, text, nano) => {
    expect(parseQuantity(text)).toBe(roundUp(nano, 1_000_000n));
    expect(parseQuantity(`+${text}`)).toBe(parseQuantity(text));
  });

  it.each([
    // From the text; the reference refuses K.
    ['specification', '1K', 1000n * k],
    ['specification', '3K', 3000n * k],
    ['specification', '0.3', 300n],
    ['specification', '300m', 300n],
    ['specification', '250m', 250n],
    // The reference keeps 10^-9; finer than a thousandth is rounded up here.
    ['ours', '1001u', 2n],
    ['ours', '0.3001', 301n],
    ['reference-only', '+7', 7n * k],
    ['reference-only', '0e64', 0n],
  ])('%s: %j in thousandths', (_source, text, milli) => {
    expect(parseQuantity(text)).toBe(milli);
  });

  it.each(written.map(([text, nano, ...others]) => ({ nano, forms: [text, ...others] })))(
    'reference-only: $nano billionths, written as $forms',
    ({ nano, forms }) => {
      for (const form of forms) expect(parseQuantity(form)).toBe(roundUp(nano, 1_000_000n));
    },
  );

  it.each(compared)('%s: %j against %j: %i', (_source, one, other, order) => {
    const difference = parseQuantity(one) - parseQuantity(other);
    expect(difference === 0n ? 0 : difference < 0n ? -1 : 1).toBe(order);
  });

  it('ours: a negative quantity is refused', () => {
    for (const [, text] of parsed) expect(() => parseQuantity(`-${text}`)).toThrow('expected a quantity');
  });

  it('reference-only: a JSON number is accepted too', () => {
    expect(parseQuantity(2048)).toBe(2048000n);
    expect(parseQuantity(0.3)).toBe(300n);
    expect(parseQuantity(1e-7)).toBe(1n);
    expect(parseQuantity(2n ** 64n)).toBe(18446744073709551616000n);
  });

  it.each([
    ...['', '1.1.M', '1+1.0M', '0.1mi', '0.1am', 'aoeu', '.5i', '1i', '-3.01i', '-3.01e-', ' 1', '1 '].map(
      (text) => ['reference-only', text],
    ),
    // The reference accepts these. Negative amounts have no meaning, and a dot is not a number.
    ...['-5M', '-0.1', '-0', '.', '-.'].map((text) => ['ours', text]),
    ...['1KB', '1ki', '0x10', '1e', '1e65', '1e-65', '1e99999999999', '1_000', '١', '9'.repeat(65)].map(
      (text) => ['ours', text],
    ),
  ])('%s: %j is refused as a quantity', (_source, text = '') => {
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

  it('is the same with a decimal point as with the next smaller suffix', () => {
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

it.each([
  ['64MB', '64M'],
  ['64mb', '64M'],
  ['64KiB', '64Ki'],
  ['64 MiB', '64Mi'],
  [' 1.5g', '1.5G'],
  ['1,5G', '1.5G'],
  ['250 m', '250m'],
  ['100 bytes', '100'],
])('a quantity in the form of other tools is refused, with what was probably meant: %j', (written, meant) => {
  expect(() => parseQuantity(written)).toThrow(new RegExp(`; write "${meant.replace('.', '\\.')}"$`));
  expect(parseQuantity(meant)).toBeGreaterThan(0n);
});

it.each(['1,500M', 'unlimited', '50%', '1/2', '0x40', '64iB', '1G5', '-1M'])(
  'for %j no other form is suggested',
  (written) => {
    expect(() => parseQuantity(written)).toThrow(/found "[^"]+"$/);
  },
);

describe('[A5.13] whole units', () => {
  it.each([
    [0n, 0n],
    [1n, 1n],
    [1000n, 1n],
    [1001n, 2n],
    // The rows of TestQuantityRoundUp for thousandths and for whole units. wherry uses no other
    // scale.
    [parseQuantity('9.01'), 10n],
  ])('reference-only: %s thousandths are %s', (milli, units) => {
    expect(wholeUnits(milli)).toBe(units);
  });
});
