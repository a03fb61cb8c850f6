import { describe, expect, it } from 'vitest';
import { warmUp } from '../../../../src/device/jobs/unit/warm-up.ts';

describe('the samples of the startup snapshot', () => {
  // The program ignores a failure, and a snapshot without compiled functions would only be slower.
  it('are a valid signature and a valid archive', async () => {
    await expect(warmUp()).resolves.toBeUndefined();
  });
});
