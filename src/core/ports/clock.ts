import { setTimeout as delay } from 'node:timers/promises';

/**
 * Time. Wall time may jump (a board without a clock starts in 1970); monotonic time never goes
 * back.
 */
export interface Clock {
  /** Wall time in milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds since an arbitrary origin, never decreasing. */
  monotonicMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when it is aborted first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Node's timers fire at once when they are set to more, which is 24.8 days. */
const longestMs = 2 ** 31 - 1;

/** The clocks of this machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  // The first use of the global `performance` loads seven modules of Node.
  monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
  sleep: async (delayMs, signal) => {
    const options = signal === undefined ? {} : { signal };
    for (let leftMs = delayMs; leftMs === delayMs || leftMs > 0; leftMs -= longestMs) {
      await delay(Math.min(leftMs, longestMs), undefined, options).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error;
      });
    }
  },
};
