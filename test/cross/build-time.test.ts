import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildTime } from '../../cross/build-time.ts';

describe('the time of packaged files', () => {
  const root = path.join(import.meta.dirname, '../..');

  it('is SOURCE_DATE_EPOCH if given', async () => {
    expect(await buildTime(root, { SOURCE_DATE_EPOCH: '1234567890' })).toBe(1_234_567_890);
    await expect(buildTime(root, { SOURCE_DATE_EPOCH: 'yesterday' })).rejects.toThrow(
      'SOURCE_DATE_EPOCH is "yesterday"; it must be seconds since 1970.',
    );
  });

  it('is a fixed day without a git history', async () => {
    expect(await buildTime(tmpdir(), {})).toBe(Date.UTC(2026, 0, 1) / 1000);
  });
});
