import { isRefusal } from '../../src/core/refusal/refusal.ts';

/** A parser of bytes that somebody else chose. */
export interface Target {
  readonly seed: Uint8Array;
  readonly parse: (bytes: Buffer) => unknown;
  /** Parsers that start a process for each input are asked less often. */
  readonly share?: number;
  /** What it says no with, if not a `Refusal`. */
  readonly refusesWith?: new (...args: never[]) => Error;
}

/** Asks a target: nothing when it answers or refuses in order. @throws whatever else it threw */
export async function ask({ parse, refusesWith }: Target, bytes: Buffer): Promise<void> {
  try {
    await parse(bytes);
  } catch (error) {
    if (refusesWith !== undefined && error instanceof refusesWith) return;
    if (!isRefusal(error)) throw error;
    if (/[\u0000-\u0008\u000b-\u001f]/.test(error.message)) {
      throw new Error(`its message has control characters: ${JSON.stringify(error.message)}`, {
        cause: error,
      });
    }
  }
  if ('polluted' in Object.prototype) throw new Error('it changed the prototype of all objects');
}
