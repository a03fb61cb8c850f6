import { describe, expect, it } from 'vitest';
import { getTasks } from 'node-cron';
import { WindowClock } from '../../../src/device/agent/windows.ts';

const at = (text: string): number => Date.parse(text);

describe('a maintenance window [C170]', () => {
  const berlin = { cron: '0 2 * * *', durationSeconds: 7200, timeZone: 'Europe/Berlin' };

  it('is open for its duration after the expression matches in its time zone', async () => {
    const clock = new WindowClock(berlin);
    // Berlin is two hours ahead of UTC in July, one in January.
    expect(await clock.isOpen(at('2026-07-01T23:59:59Z'))).toBe(false);
    expect(await clock.isOpen(at('2026-07-02T00:00:00Z'))).toBe(true);
    expect(await clock.isOpen(at('2026-07-02T01:59:59Z'))).toBe(true);
    expect(await clock.isOpen(at('2026-07-02T02:00:00Z'))).toBe(false);
    expect(await new WindowClock(berlin).isOpen(at('2026-01-02T00:30:00Z'))).toBe(false);
    expect(await new WindowClock(berlin).isOpen(at('2026-01-02T01:30:00Z'))).toBe(true);
  });

  it('is open for a wherryd that starts in the middle of it', async () => {
    const day = { cron: '30 3 * * *', durationSeconds: 86_400, timeZone: 'UTC' };
    expect(await new WindowClock(day).isOpen(at('2026-07-02T03:29:59Z'))).toBe(true);
  });

  it('is evaluated again when the clock is set back', async () => {
    const clock = new WindowClock(berlin);
    expect(await clock.isOpen(at('2026-07-02T00:30:00Z'))).toBe(true);
    expect(await clock.isOpen(at('2026-07-01T12:00:00Z'))).toBe(false);
    expect(await clock.isOpen(at('2026-07-02T00:30:00Z'))).toBe(true);
  });

  it('refuses an expression and a zone that do not exist', () => {
    expect(() => new WindowClock({ ...berlin, cron: '61 * * * *' })).toThrow(/not a cron expression/);
    expect(() => new WindowClock({ ...berlin, timeZone: 'Europe/Atlantis' })).toThrow(/no time zone/);
  });

  it('leaves no task in the list of the library', () => {
    const before = getTasks().size;
    new WindowClock(berlin);
    expect(getTasks().size).toBe(before);
  });
});
