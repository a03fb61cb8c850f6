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

  it.each([
    ['+10 years and back', 10 * 365 * 86_400_000],
    ['from 1970', at('1970-01-01T00:20:00Z') - at('2026-07-02T00:30:00Z')],
    ['-1 day', -86_400_000],
  ])('is right again after a wrong time, %s, and checks a day of minutes at most', async (_name, offMs) => {
    const clock = new WindowClock(berlin);
    const now = at('2026-07-02T00:30:00Z');
    for (const time of [now, now + offMs, now + offMs + 60_000]) await clock.isOpen(time);
    expect(await clock.isOpen(now)).toBe(true);
    expect(await clock.isOpen(at('2026-07-02T02:00:00Z'))).toBe(false);
    expect(await clock.isOpen(at('2026-07-03T00:00:00Z'))).toBe(true);
  });

  it('does not open at a local time that summer time skips, and opens twice at one that it repeats', async () => {
    // 02:00 becomes 03:00 on 29 March; 03:00 becomes 02:00 on 25 October.
    const hour = { ...berlin, durationSeconds: 3600 };
    const open = async (night: string) => {
      const clock = new WindowClock(hour);
      const hours: number[] = [];
      for (let utc = 0; utc < 24; utc++)
        if (await clock.isOpen(at(`${night}T${String(utc).padStart(2, '0')}:30:00Z`))) hours.push(utc);
      return hours;
    };
    expect(await open('2026-03-28')).toEqual([1]);
    expect(await open('2026-03-29')).toEqual([]);
    expect(await open('2026-03-30')).toEqual([0]);
    expect(await open('2026-10-25')).toEqual([0, 1]);
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
