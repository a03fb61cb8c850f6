import type { Clock } from '../../core/ports/index.ts';

export interface SystemctlPorts {
  /**
   * Runs systemctl and gives what it prints. It rejects as execFile does: with `stderr`, and with
   * `killed` when it was not done in time.
   */
  readonly systemctl: (words: readonly string[], withinMs?: number) => Promise<string>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
}

const lookMs = 500;
/** A supervisor that ends again and again is outlasted no longer. */
const maxTries = 3;

/** Whether systemd took another job for a unit in place of the one that `error` is about. */
export function isReplaced(error: unknown): boolean {
  return /^Job for \S+ canceled\.$/m.test(
    String((error as { readonly stderr?: unknown } | undefined)?.stderr),
  );
}

/**
 * Has systemctl carry out `words`, and again when a start of wherryd undid it: wherryd makes the
 * committed pods run when it starts, so it starts what was just stopped, also in place of a stop
 * that is under way. It is acted at once all the same: the start may be waiting for that very app.
 *
 * @param withinMs for all of it; without it, as long as it takes
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
