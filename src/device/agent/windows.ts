import { validate } from 'node-cron';
import { Refusal } from '../../core/refusal/index.ts';
import type { MaintenanceWindow } from '../../wire/trust/index.ts';
import { matcherOf } from './schedule.ts';

const minuteMs = 60_000;
/**
 * After so many minutes the event loop gets a turn: a slow board needs a while for a day of them.
 */
const minutesAtOnce = 60;

/**
 * Decides whether a maintenance window is open. A window is open for its duration after each minute
 * that its expression matches. Each minute is checked once, so a call every few seconds costs next
 * to nothing.
 */
export class WindowClock {
  private readonly durationMs: number;
  private readonly matches: (minuteMs: number) => boolean;
  private lookedUpToMs = Number.NEGATIVE_INFINITY;
  private openedAtMs = Number.NEGATIVE_INFINITY;

  /** @throws {Refusal} `desired-malformed` for an expression or a zone that does not exist */
  constructor({ cron, durationSeconds, timeZone }: MaintenanceWindow) {
    refuseUnknown(cron, timeZone);
    this.matches = matcherOf(cron, timeZone);
    this.durationMs = durationSeconds * 1000;
  }

  async isOpen(nowMs: number): Promise<boolean> {
    const lastMinute = Math.floor(nowMs / minuteMs) * minuteMs;
    // After the clock was set back, the minutes are checked again.
    if (lastMinute < this.lookedUpToMs) this.openedAtMs = this.lookedUpToMs = Number.NEGATIVE_INFINITY;
    let minute = Math.max(this.lookedUpToMs + minuteMs, this.firstMinute(nowMs));
    for (let looked = 1; minute <= lastMinute; minute += minuteMs, looked++) {
      if (this.matches(minute)) this.openedAtMs = minute;
      if (looked % minutesAtOnce === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.lookedUpToMs = lastMinute;
    return nowMs - this.openedAtMs < this.durationMs;
  }

  /** The first one after which a window may still be open. */
  private firstMinute(nowMs: number): number {
    return Math.ceil((nowMs - this.durationMs + 1) / minuteMs) * minuteMs;
  }
}

function refuseUnknown(cron: string, timeZone: string): void {
  if (!validate(cron))
    throw new Refusal('desired-malformed', `the window ${JSON.stringify(cron)} is not a cron expression`);
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch (cause) {
    throw new Refusal(
      'desired-malformed',
      `there is no time zone ${JSON.stringify(timeZone)} on this device`,
      {
        cause,
      },
    );
  }
}
