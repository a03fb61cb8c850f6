import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Clock } from '../../core/ports/index.ts';

/** After a no. Each question starts a process. */
const askAgainMs = 30_000;
/**
 * A device whose D-Bus does not answer must not hold up its commands for longer. A slow one needs
 * four seconds to start systemd-timedated, which has ended again when wherryd asks the next time.
 */
const answerWithinMs = 10_000;

/** What shows that the clock of a device was set. */
export interface ClockSigns {
  /** Whether a file shows it. */
  readonly marked: () => boolean;
  /** Asks whether a time source has set the clock; it does not fail. */
  readonly ask: () => Promise<boolean>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/**
 * Returns a function that says whether a time source has set the clock. It asks only where no file
 * shows it, once in 30 s at most. A yes holds for the life of the process.
 */
export function clockKeeper({ marked, ask, clock }: ClockSigns): () => Promise<boolean> {
  let askAtMs = Number.NEGATIVE_INFINITY;
  let answer = Promise.resolve(false);
  return async () => {
    if (marked() || (await answer)) return true;
    const nowMs = clock.monotonicMs();
    if (nowMs >= askAtMs) [askAtMs, answer] = [nowMs + askAgainMs, ask()];
    return await answer;
  };
}

/**
 * Whether the kernel counts its clock as synchronized (adjtimex(2)), which every NTP client and
 * phc2sys set. wherryd may not make that call (ProtectClock=), so it asks systemd-timedated.
 *
 * @param program timedatectl(1), which Debian's package `systemd` has
 * @returns false also where nothing answers
 */
export async function isSynchronized(program = 'timedatectl', withinMs = answerWithinMs): Promise<boolean> {
  const words = ['show', '--property=NTPSynchronized', '--value'];
  const limits = { timeout: withinMs, killSignal: 'SIGKILL' } as const;
  const answer = await promisify(execFile)(program, words, limits).catch(() => undefined);
  return answer?.stdout.trim() === 'yes';
}
