import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/ports/index.ts';

it.each([40 * 86_400_000, Infinity])('a sleep of %d ms does not end at once', async (delayMs) => {
  const stop = new AbortController();
  const slept = systemClock.sleep(delayMs, stop.signal);
  let isOver = false;
  void slept.then(
    () => (isOver = true),
    () => undefined,
  );
  // Node's own timer would end after 1 ms.
  await systemClock.sleep(20);
  expect(isOver).toBe(false);
  stop.abort(new Error('stopped'));
  await expect(slept).rejects.toThrow('stopped');
});
