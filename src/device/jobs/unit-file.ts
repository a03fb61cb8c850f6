import {
  CborError,
  decodeCbor,
  encodeCbor,
  map,
  oneOf,
  parsed,
  type Reader,
  readFields,
  text,
  type CborValue,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** What a unit without privileges leaves when it came to a refusal. */
export interface RefusedResult {
  readonly ok: false;
  /** As the unit says it; see `knownCode`. */
  readonly code: string;
  readonly message: string;
}

const maxMessageCharacters = 1000;
const refusal = map({ ok: oneOf(false), code: text(64), message: text(4096) });

/** Reads a result: what `success` reads, or a refusal. */
export function resultOf<Success extends { readonly ok: true }>(
  success: Reader<Success>,
): Reader<Success | RefusedResult> {
  return (value, path) => (isRefused(value) ? refusal(value, path) : success(value, path));
}

/** A message that is too long for a report is cut. */
export function encodeResult(result: { readonly ok: true } | RefusedResult): Uint8Array {
  return encodeCbor(
    result.ok ? result : { ...result, message: result.message.slice(0, maxMessageCharacters) },
  );
}

/**
 * Reads a file that wherryd and a unit exchange.
 *
 * @param what - names it in the refusal
 * @throws Refusal `internal`: wherry's own mistake, or that of a unit that is not trusted, of which nothing is used then
 */
export function decodeUnitFile<T>(file: Uint8Array, reader: Reader<T>, what: string, maxBytes: number): T {
  try {
    return readFields(decodeCbor(file, { maxBytes, maxDepth: 5 }), reader, what);
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal('internal', `the ${what} cannot be read: ${cause.message}`, { cause });
  }
}

/** Text of so many lower-case hex digits. */
export function hexDigits(digits: number): Reader<string> {
  return parsed(text(digits), (value) => {
    if (value.length !== digits || !/^[0-9a-f]*$/.test(value))
      throw new CborError(`not ${digits} hex digits`);
    return value;
  });
}

function isRefused(value: CborValue): boolean {
  return value !== null && typeof value === 'object' && 'ok' in value && value.ok === false;
}
