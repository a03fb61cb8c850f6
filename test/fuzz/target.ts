import { isRefusal } from '../../src/core/refusal/refusal.ts';

/** A parser of untrusted bytes. */
export interface Target {
  readonly seed: Uint8Array;
  readonly parse: (bytes: Buffer) => unknown;
  /** Divides the number of inputs, for slow parsers such as those that start a process. */
  readonly share?: number;
  /** The class of its expected errors, if not `Refusal`. */
  readonly refusesWith?: new (...args: never[]) => Error;
}

/** Parses `bytes`; a result or an expected error is fine. @throws any other error */
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
