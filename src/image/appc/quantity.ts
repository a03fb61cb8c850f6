import { quote, refuseFaults, SchemaFault, unexpected } from './fault.ts';
import type { Read } from './fields.ts';

/** Longest text of a quantity; with the bound on the exponent it bounds the size of the integer. */
const maxLength = 64;
const maxExponent = 64n;

/**
 * Suffix → [numerator, denominator] of its factor (ace.md#resource-isolators; `k`, `n`, `u` and
 * exponents are reference-only).
 */
const suffixes: Readonly<Record<string, readonly [bigint, bigint]>> = {
  n: [1n, 10n ** 9n],
  u: [1n, 10n ** 6n],
  m: [1n, 1000n],
  '': [1n, 1n],
  k: [10n ** 3n, 1n],
  K: [10n ** 3n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [1n << 10n, 1n],
  Mi: [1n << 20n, 1n],
  Gi: [1n << 30n, 1n],
  Ti: [1n << 40n, 1n],
  Pi: [1n << 50n, 1n],
  Ei: [1n << 60n, 1n],
};

const grammar = /^\+?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+)|([KMGTPE]i|[numkKMGTPE]?))$/;

/**
 * An amount of a resource in exact thousandths of its unit: `parseQuantity('1.5Ki')` is 1536000n.
 * Finer amounts are rounded up: a limit never becomes tighter than written, and a request never
 * vanishes. Negative amounts are refused.
 * @param value text with a suffix (`300m`, `123Mi`, `1e3`), or a JSON number
 * @throws Refusal input-invalid
 */
export function parseQuantity(value: string | number | bigint): bigint {
  return refuseFaults('input-invalid', 'quantity', () => quantity(value, ''));
}

/** Thousandths as whole units, rounded up: the number of bytes, operations or tasks. */
export function wholeUnits(milliUnits: bigint): bigint {
  return ceilingOf(milliUnits, 1000n);
}

export const quantity: Read<bigint> = (value, at) => {
  const [numerator, denominator] = exactThousandths(value, at);
  return ceilingOf(numerator, denominator);
};

/** Thousandths of the unit as a fraction, before they are rounded up. */
export const exactThousandths: Read<readonly [numerator: bigint, denominator: bigint]> = (value, at) => {
  const expected = 'a quantity such as "512Mi", "1.5G" or "250m"';
  const refused = () => {
    const meant = typeof value === 'string' ? probablyMeant(value) : undefined;
    return meant === undefined
      ? unexpected(at, expected, value)
      : new SchemaFault(at, `expected ${expected}, found ${quote(value as string)}; write ${quote(meant)}`);
  };
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') {
    throw refused();
  }
  const written = String(value);
  const match = written.length <= maxLength ? grammar.exec(written) : null;
  if (match === null) throw refused();
  const [, whole = '', fraction = '', power, suffix = ''] = match;
  if (whole + fraction === '') throw refused();
  const exponent = BigInt(power ?? '0');
  if (exponent > maxExponent || exponent < -maxExponent) throw refused();
  const [numerator, denominator] = suffixes[suffix] ?? [1n, 1n];
  const raised = exponent > 0n ? 10n ** exponent : 1n;
  const lowered = exponent < 0n ? 10n ** -exponent : 1n;
  return [
    BigInt(whole + fraction) * 1000n * numerator * raised,
    denominator * lowered * 10n ** BigInt(fraction.length),
  ];
};

/**
 * Other tools accept `64MB`, `64 MiB` and, in some countries, `1,5G`. An `m` of such a unit is
 * mega, not a thousandth.
 */
function probablyMeant(written: string): string | undefined {
  const [, number = '', prefix = '', binary = ''] =
    /^\s*(\d{1,20}(?:[.,]\d{1,20})?)\s*([kmgtpe]?)(i?)(?:b|bytes?)?\s*$/i.exec(written) ?? [];
  // With three digits behind it, a comma may separate thousands or decimals.
  if (/,\d{3}$/.test(number)) return undefined;
  if (number === '' || (prefix === '' && binary !== '')) return undefined;
  const unit = /^\s*[\d.,]+\s*m\s*$/.test(written) ? 'm' : prefix.toUpperCase();
  return `${number.replace(',', '.')}${unit}${binary.toLowerCase()}`;
}

function ceilingOf(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}
