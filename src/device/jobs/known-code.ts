import { type RefusalCode, refusalCodes } from '../../core/refusal/index.ts';

/** A code that an unprivileged unit wrote, if it is one of the closed list. */
export function knownCode(code: string): RefusalCode {
  return Object.hasOwn(refusalCodes, code) ? (code as RefusalCode) : 'internal';
}
