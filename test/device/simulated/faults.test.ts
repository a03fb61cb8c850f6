import { describe, expect, it } from 'vitest';
import { faultsOf, parseFaults } from '../../../src/device/simulated/index.ts';

describe('faults of simulated devices', () => {
  it('affect the requested share of the fleet, the same devices each time', () => {
    const faults = parseFaults(['slow=10%', 'away=2.5%']);
    const having = (seed: string, kind: 'slow' | 'away') =>
      Array.from({ length: 2000 }, (_, index) => `sim-${index}`).filter((name) =>
        faultsOf(faults, seed, name).has(kind),
      );
    expect(having('1', 'slow').length).toBeGreaterThan(150);
    expect(having('1', 'slow').length).toBeLessThan(250);
    expect(having('1', 'away').length).toBeLessThan(100);
    expect(having('1', 'slow')).toEqual(having('1', 'slow'));
    expect(having('2', 'slow')).not.toEqual(having('1', 'slow'));
  });

  it.each(['', 'slow', 'slow=5', 'fast=5%', 'slow=101%', 'toString=5%'])('refuse %j', (text) => {
    expect(() => parseFaults([text])).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
  });
});
