import type { Clock } from '../../core/ports/index.ts';

export interface SystemctlPorts {
  /**
   * Runs systemctl and returns its output. It rejects as execFile does: with `stderr`, and with
   * `killed` when it took too long.
   */
  readonly systemctl: (words: readonly string[], withinMs?: number) => Promise<string>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
}

const lookMs = 500;
/** The limit for a wherryd that keeps restarting. */
const maxTries = 3;

/** Whether `error` reports a job that systemd canceled because another job replaced it. */
export function isReplaced(error: unknown): boolean {
  return /^Job for \S+ canceled\.$/m.test(
    String((error as { readonly stderr?: unknown } | undefined)?.stderr),
  );
}

/**
 * Runs systemctl with `words`, and again when a start of wherryd undid it. wherryd starts the
 * committed pods when it starts. That also starts a pod that was just stopped, and cancels a stop
 * job in progress. The first attempt does not wait for the start of wherryd, which may be waiting
 * for this very app.
 *
 * @param withinMs the limit for all attempts; without it, there is none
 * @throws what systemctl rejects with
 */
export async function outlastStart(
  words: readonly string[],
  { systemctl, clock }: SystemctlPorts,
  withinMs?: number,
): Promise<void> {
  const untilMs = withinMs === undefined ? Infinity : clock.monotonicMs() + withinMs;
  const supervisor = async () => {
    const text = await systemctl(['show', '--property=SubState,InvocationID', 'wherryd.service']);
    return { isStarting: /^SubState=start/m.test(text), start: /^InvocationID=.*$/m.exec(text)?.[0] };
  };
  let before = await supervisor();
  for (let tries = 1; ; tries++) {
    let failure: Error | undefined;
    try {
      await systemctl(words, withinMs && Math.max(1, Math.ceil(untilMs - clock.monotonicMs())));
    } catch (error) {
      if (!isReplaced(error)) throw error;
      failure = error as Error;
    }
    let after = await supervisor();
    const mayBeUndone = failure !== undefined || words[0] === 'stop';
    const wasStarted = before.isStarting || after.isStarting || before.start !== after.start;
    const isLast = tries === maxTries || clock.monotonicMs() >= untilMs;
    if (!mayBeUndone || !wasStarted || isLast) {
      if (failure !== undefined) throw failure;
      return;
    }
    while (after.isStarting && clock.monotonicMs() < untilMs) {
      await clock.sleep(lookMs);
      after = await supervisor();
    }
    before = after;
  }
}
