import { describe, expect, it } from 'vitest';
import { admitSpace, spaceNeeded } from '../../../src/device/store/space.ts';

const MiB = 1024 * 1024;
const small = { id: 'small', sizeBytes: 10 * MiB, tarSizeBytes: 32 * MiB };
const large = { id: 'large', sizeBytes: 40 * MiB, tarSizeBytes: 80 * MiB };

describe('the space that images need', () => {
  it('is all their objects and the largest download, because pulls are sequential', () => {
    expect(spaceNeeded([small, large], new Set(), 'none')).toEqual({
      objectBytes: (36 + 90 + 2) * MiB,
      pullBytes: 40 * MiB,
    });
  });

  it('does not count images that are already stored', () => {
    expect(spaceNeeded([small, large], new Set(['large']), 'none')).toEqual({
      objectBytes: 37 * MiB,
      pullBytes: 10 * MiB,
    });
    expect(spaceNeeded([small], new Set(['small']), 'none')).toEqual({ objectBytes: 0, pullBytes: 0 });
  });

  it('counts the builder’s scratch space when it compresses', () => {
    expect(spaceNeeded([small], new Set(), 'lz4').pullBytes).toBe(42 * MiB);
  });
});

describe('admission [C36]', () => {
  const need = { objectBytes: 60 * MiB, pullBytes: 40 * MiB };

  it('accepts what fits without the reserve', () => {
    expect(() => admitSpace(need, 150 * MiB, 50 * MiB)).not.toThrow();
  });

  it('refuses what would use the reserve, with the numbers', () => {
    const refused = expect(() => admitSpace(need, 150 * MiB - 1, 50 * MiB));
    refused.toThrow(expect.objectContaining({ code: 'no-space' }));
    expect(() => admitSpace(need, 120 * MiB, 50 * MiB)).toThrow(
      'the images need up to 100.0 MiB (60.0 MiB to stay, 40.0 MiB while they are pulled), but only 70.0 MiB are free above the reserve of 50.0 MiB',
    );
  });

  it('refuses when less than the reserve is free', () => {
    expect(() => admitSpace({ objectBytes: 1, pullBytes: 0 }, 10 * MiB, 50 * MiB)).toThrow(/only 0\.0 MiB/);
  });
});
