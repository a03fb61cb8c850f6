import { describe, expect, it } from 'vitest';
import { formatTable, judge, line, median } from '../../bench/table.ts';

describe('the median of measurements', () => {
  it('is the middle one in any order', () => expect(median([9, 1, 2, 100, 3])).toBe(3));

  it('is between the two in the middle when their number is even', () =>
    expect(median([4, 1, 2, 9])).toBe(3));

  it('does not exist for no measurements', () => expect(() => median([])).toThrow('no numbers'));
});

describe('a line through two pulls', () => {
  it('separates the seconds per MB from the fixed cost', () =>
    expect(line({ x: 20, y: 7 }, { x: 80, y: 19 })).toEqual({ slope: 0.2, intercept: 3 }));

  it('cannot be drawn through one size', () =>
    expect(() => line({ x: 20, y: 7 }, { x: 20, y: 8 })).toThrow('two points'));
});

describe('judging a measurement', () => {
  it('compares the ratio with the bound if there is a peer', () => {
    expect(judge({ name: 'start, s', ours: 1, peer: 2, bound: 0.5 })).toEqual({
      name: 'start, s',
      ours: 1,
      peer: 2,
      ratio: 0.5,
      bound: 0.5,
      ok: true,
    });
    expect(judge({ name: 'start, s', ours: 1.1, peer: 2, bound: 0.5 }).ok).toBe(false);
  });

  it('compares the measured number with the bound if there is no peer', () => {
    expect(judge({ name: 'memory, MB', ours: 15, bound: 16 })).toEqual({
      name: 'memory, MB',
      ours: 15,
      peer: null,
      ratio: null,
      bound: 16,
      ok: true,
    });
    expect(judge({ name: 'memory, MB', ours: 17, bound: 16 }).ok).toBe(false);
  });

  it('allows nothing where the bound is zero', () => {
    expect(judge({ name: 'written, bytes', ours: 0, bound: 0 }).ok).toBe(true);
    expect(judge({ name: 'written, bytes', ours: 4096, bound: 0 }).ok).toBe(false);
  });

  it('compares before it rounds', () =>
    expect(judge({ name: 'start, s', ours: 0.50001, peer: 1, bound: 0.5 })).toMatchObject({
      ratio: 0.5,
      ok: false,
    }));

  it('lets a line without a bound pass', () =>
    expect(judge({ name: 'for information', ours: 9, peer: 1 })).toMatchObject({ bound: null, ok: true }));

  it('refuses an invalid measurement', () => {
    expect(() => judge({ name: 'start', ours: Number.NaN })).toThrow('not a measurement');
    expect(() => judge({ name: 'start', ours: 1, peer: 0 })).toThrow('no ratio');
  });
});

describe('the printed table', () => {
  const rows = [
    judge({ name: 'start, s', ours: 1.5, peer: 2, bound: 0.5 }),
    judge({ name: 'memory, MB', ours: 15, bound: 16 }),
    judge({ name: 'idle', ours: 30, peer: 120 }),
  ];
  const text = formatTable(rows);

  it('has a line for each measurement under one head', () =>
    expect(text.split('\n').map((row) => row.split(/ {2,}/)[0])).toEqual([
      'name',
      expect.stringMatching(/^-+$/),
      ...rows.map((row) => row.name),
    ]));

  it('marks a missed bound, and names what each bound limits', () => {
    expect(text).toMatch(/start, s +1\.50 +2 +0\.75 +≤ 0\.5 +MISSED/);
    expect(text).toMatch(/memory, MB +15 +ours ≤ 16 +ok/);
  });

  it('omits bounds if there are none', () => expect(text).toMatch(/idle +30 +120 +0\.25$/m));
});
