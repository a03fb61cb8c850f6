import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createTask, getTasks, validate } from 'node-cron';
import { runBySchedule } from '../../../src/device/agent/schedule.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const minute = 60_000;
const day = 24 * 60 * minute;
const year = 365 * day;

/** Starts a schedule at a local time. `runs` are the local times at which its task ran. */
function scheduleOf(expression: string, start: string) {
  const clock = new FakeClock(new Date(start).getTime());
  const runs: string[] = [];
  const note = () => void runs.push(new Date(clock.nowMs()).toLocaleString('sv'));
  const stop = runBySchedule(expression, note, clock);
  return { clock, runs, stop };
}

describe('a schedule of the configuration', () => {
  it('runs its task at the times of the expression, in local time', async () => {
    const { clock, runs, stop } = scheduleOf('17 3 * * *', '2026-01-10T12:00:30');
    await clock.pass(2 * day);
    expect(runs).toEqual(['2026-01-11 03:17:00', '2026-01-12 03:17:00']);
    stop();
    await clock.pass(2 * day);
    expect(runs).toHaveLength(2);
    expect(getTasks().size).toBe(0);
  });

  it('takes an expression with seconds, and makes up for a short delay', async () => {
    const { clock, runs } = scheduleOf('*/20 * * * * *', '2026-01-10T12:00:30');
    await clock.pass(30_000);
    clock.jump(19_500);
    await clock.pass(1000);
    expect(runs).toEqual(['2026-01-10 12:00:40', '2026-01-10 12:01:00', '2026-01-10 12:01:20']);
  });

  it.each([
    ['ten years', 10 * year],
    ['from 1970 to now', 56 * year],
    ['a day', day],
  ])('runs once after a jump forward: %s [C304]', async (_name, jumpMs) => {
    const { clock, runs } = scheduleOf('* * * * *', '1970-01-10T12:00:30');
    await clock.pass(minute);
    clock.jump(jumpMs);
    await clock.pass(minute);
    expect(runs).toHaveLength(2);
  });

  it('runs each night again after a jump back [C304]', async () => {
    const { clock, runs } = scheduleOf('17 3 * * *', '2036-01-10T12:00:30');
    await clock.pass(10 * minute);
    clock.jump(new Date('2026-01-10T12:10:30').getTime() - clock.nowMs());
    await clock.pass(2 * day);
    expect(runs).toEqual(['2026-01-10 12:11:00', '2026-01-11 03:17:00', '2026-01-12 03:17:00']);
  });

  it('sleeps for a minute at most, and never without end', async () => {
    const { clock } = scheduleOf('17 3 * * *', '2026-01-10T12:00:30');
    for (const jumpMs of [0, -day, 10 * year, -10 * year, -400]) {
      clock.jump(jumpMs);
      await clock.pass(minute);
    }
    expect(clock.delays.length).toBeLessThan(12);
    expect(clock.delays.every((ms) => ms > 0 && ms <= minute)).toBe(true);
  });
});

/** A field that often matches `value`: as a list, a range, steps, words, or anything else. */
function fieldFor(value: number, [min, max]: readonly [number, number], words: readonly string[] = []) {
  return fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom('*', String(value), `${min}-${value}`, `${value},${max}`) },
    fc.constantFrom(`${min}-${max}/2`, '*/3', String(max), ...words),
  );
}

describe('the times of a schedule', () => {
  afterEach(() => vi.unstubAllEnvs());

  // In St. John's, summer time differs by an hour from a standard time of minus three and a half.
  it('are those of the library, in local time', async () => {
    const timezone = 'America/St_Johns';
    vi.stubEnv('TZ', timezone);
    const minutes = fc.integer({ min: Date.UTC(2024, 0) / minute, max: Date.UTC(2030, 0) / minute });
    const cases = minutes.chain((at) => {
      const date = new Date(at * minute);
      const fields = fc.tuple(
        fieldFor(date.getMinutes(), [0, 59]),
        fieldFor(date.getHours(), [0, 23]),
        fieldFor(date.getDate(), [1, 31], ['L', '15W', 'L-3', '?']),
        fieldFor(date.getMonth() + 1, [1, 12], ['jan-jun']),
        fieldFor(date.getDay(), [0, 6], ['5L', '1#2', '7', 'mon,tue', '?']),
      );
      return fields
        .map((words) => ({ date, expression: words.join(' ') }))
        .filter(({ expression }) => validate(expression)); // not the 31st of September
    });
    let matched = 0;
    const asTheLibrary = fc.asyncProperty(cases, async ({ date, expression }) => {
      const task = createTask(expression, () => undefined, { timezone });
      await task.destroy();
      const { clock, runs } = scheduleOf(expression, new Date(date.getTime() - 30_000).toISOString());
      await clock.pass(minute);
      matched += runs.length;
      expect(runs).toHaveLength(task.match(date) ? 1 : 0);
    });
    await fc.assert(asTheLibrary, { numRuns: 2000 });
    expect(matched).toBeGreaterThan(50);
  });
});
