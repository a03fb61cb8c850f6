import { expect, it } from 'vitest';
import { systemClock } from '../../../src/core/ports/index.ts';

it('a sleep that is longer than a timer of Node can be does not end at once', async () => {
  const stop = new AbortController();
  let ended = false;
  const sleep = systemClock.sleep(2 ** 31, stop.signal).finally(() => (ended = true));
  // A timer that overflows becomes one of a millisecond, which is due before this one.
  await systemClock.sleep(20);
  expect(ended).toBe(false);
  stop.abort(new Error('enough'));
  await expect(sleep).rejects.toThrow('enough');
});
