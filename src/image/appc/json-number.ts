import { SchemaFault } from './fault.ts';

/** Longest number literal. */
const maxLength = 128;
/** Most digits of an integer when it is written in full. */
const maxDigits = 64;

const grammar = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Whether `literal` is a number by RFC 8259 §6. */
export function isNumberLiteral(literal: string): boolean {
  return grammar.test(literal);
}

/**
 * The value of `literal`: a bigint for an integer past 2^53. Throws a SchemaFault where neither
 * number nor bigint would hold it exactly, so that no limit or size changes silently.
 */
export function exactNumber(literal: string, at: string): number | bigint {
  const tooLong = new SchemaFault(at, `expected a number of at most ${maxDigits} digits`);
  // The length first: the time for the rest may grow faster than it.
  if (literal.length > maxLength) throw tooLong;
  const { digits, exponent } = decimal(literal);
  if (digits === '') return 0;
  if (digits.length + Math.max(exponent, 0) > maxDigits) throw tooLong;
  if (exponent >= 0) {
    const integer = BigInt((literal.startsWith('-') ? '-' : '') + digits + '0'.repeat(exponent));
    const number = Number(integer);
    return Number.isSafeInteger(number) ? number : integer;
  }
  const number = Number(literal);
  const held = decimal(String(number));
  if (held.digits !== digits || held.exponent !== exponent) {
    throw new SchemaFault(at, `expected a fraction of at most 15 digits, found ${literal}`);
  }
  return number;
}

/**
 * `literal` as digits × 10^exponent, without leading and trailing zeros; no digits at all for zero.
 */
function decimal(literal: string): { digits: string; exponent: number } {
  const [, whole = '', fraction = '', power = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? [];
  const all = (whole + fraction).replace(/^0+/, '');
  const digits = all.replace(/0+$/, '');
  return { digits, exponent: Number(power) - fraction.length + (all.length - digits.length) };
}
