import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/core/ports/ports.ts';

/** The clock of this machine, for tests with real brokers. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) => sleep(delayMs, undefined, signal === undefined ? {} : { signal }),
};

/** Waits until `condition` holds; the test's own timeout bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}
