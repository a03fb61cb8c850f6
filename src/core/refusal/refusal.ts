import type { RefusalCode } from './codes.ts';

/**
 * An expected failure. `message` is one sentence that names the thing, what is wrong with it, and,
 * where the reader can act, what to do; `code` is what machines compare.
 */
export class Refusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'Refusal';
    this.code = code;
  }

  /** The sentence without the name of the class, for log lines. */
  override toString(): string {
    return this.message;
  }
}

/** A refusal with `where` before its sentence; any other error unchanged. */
export function refusalAt(where: string, error: unknown): unknown {
  return isRefusal(error) ? new Refusal(error.code, `${where}: ${error.message}`, { cause: error }) : error;
}

/** Whether `error` is a refusal, optionally with one of `codes`. */
export function isRefusal(error: unknown, ...codes: RefusalCode[]): error is Refusal {
  return error instanceof Refusal && (codes.length === 0 || codes.includes(error.code));
}

/**
 * In the message of `download-failed` because of a certificate that is not valid yet. wherryd reads
 * it in the result of a pull.
 */
export const notYetValid = 'its certificate is not valid yet';
