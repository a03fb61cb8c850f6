import { describe, expect, it } from 'vitest';
import { growth, readStoredCounts } from '../../bench/instructions/stored-counts.ts';
import { unitCommand } from '../../bench/instructions/unit-command.ts';

const now = {
  node: 'v20.19.2',
  millions: { node: 1, pullFixed: 1, pullPerMegabyte: 1, examine: 1, examineTwo: 1, wherryd: 1 },
};
const times = (factor: number) => ({ ...now, millions: { ...now.millions, pullFixed: factor } });

describe('the stored counts of instructions', () => {
  it('allow a growth of less than a tenth', () => {
    expect(growth(now, times(1.09))).toEqual([]);
    expect(growth(now, times(0.5))).toEqual([]);
  });

  it('name a count that grew by more, and how to store the new one', () => {
    expect(growth(now, times(1.11))).toEqual([
      expect.stringMatching(/^pull of next to nothing grew from 1 to 1.11 million; .*--store$/),
    ]);
  });

  it('report counts of another Node', () => {
    expect(growth(now, { ...times(2), node: 'v20.0.0' })[0]).toContain('with Node v20.0.0, stored with');
  });

  it('refuse a count that is not in the table', () => {
    expect(growth({ ...now, millions: {} }, now)).toHaveLength(6);
  });
});

describe('the table', () => {
  it('has every count', () => {
    expect(Object.keys(readStoredCounts().millions)).toEqual(Object.keys(now.millions));
  });
});

describe('the command of a unit', () => {
  it('is read from the unit file', () => {
    const { flags, environment } = unitCommand('wherry-pull@.service');
    expect(flags).toContain('--jitless');
    expect(environment).toMatchObject({ UV_THREADPOOL_SIZE: '2' });
  });
});
