import { createTask, type ParsedFields, validateDetailed } from 'node-cron';
import type { Clock } from '../../core/ports/index.ts';

const minuteMs = 60_000;

/**
 * Runs `task` by a valid cron expression in local time until the returned function is called. When
 * the clock jumps, or this device slept, the task runs once: it may have been due in between.
 *
 * The library's own scheduler is not used. It visits every time of the expression that a jump
 * skips, and after a jump back it waits until the old time comes again.
 */
export function runBySchedule(expression: string, task: () => void, clock: Clock): () => void {
  const { fields } = validateDetailed(expression);
  const matches = (fields && numbersMatcher(fields)) ?? matcherOf(expression);
  // The library also takes expressions with a field of seconds before the five of crontab(5).
  const stepMs = expression.trim().split(/\s+/).length > 5 ? 1000 : minuteMs;
  const over = new AbortController();
  const stepNow = (): number => Math.floor(clock.nowMs() / stepMs);
  const run = async (): Promise<void> => {
    for (let looked = stepNow(); ;) {
      await clock.sleep(stepMs - (clock.nowMs() % stepMs), over.signal).catch(() => undefined);
      if (over.signal.aborted) return;
      const now = stepNow();
      if (now === looked) continue; // a sleep may end early
      let isDue = now < looked || (now - looked) * stepMs > minuteMs;
      while (!isDue && looked < now) isDue = matches(++looked * stepMs);
      if (isDue) task();
      looked = now;
    }
  };
  void run();
  return () => over.abort();
}

/**
 * As `matcherOf`, in local time, without the library's use of `Intl`: loading the data of ICU costs
 * wherryd 2 MB of memory.
 *
 * @returns undefined for days in words, such as `L` for the last one of the month
 */
function numbersMatcher(fields: ParsedFields): ((atMs: number) => boolean) | undefined {
  const { second, minute, hour, dayOfMonth, month, dayOfWeek } = fields;
  if ([...dayOfMonth, ...dayOfWeek].some((day) => typeof day === 'string')) return undefined;
  return (atMs) => {
    const at = new Date(atMs);
    return (
      minute.includes(at.getMinutes()) &&
      hour.includes(at.getHours()) &&
      second.includes(at.getSeconds()) &&
      dayOfMonth.includes(at.getDate()) &&
      month.includes(at.getMonth() + 1) &&
      dayOfWeek.includes(at.getDay())
    );
  };
}

/**
 * Whether a cron expression matches a time, in milliseconds since 1970.
 * @param timeZone without it, local time
 */
export function matcherOf(expression: string, timeZone?: string): (atMs: number) => boolean {
  const options = timeZone === undefined ? {} : { timezone: timeZone };
  const cron = createTask(expression, () => undefined, options);
  // The library keeps a list of all tasks; this one only answers.
  void cron.destroy();
  return (atMs) => cron.match(new Date(atMs));
}
