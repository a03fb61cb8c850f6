import type { Context } from './context.ts';
import { drawnOver } from './terminal.ts';

const everyMs = 1000;

/**
 * Shows on a terminal that `work` takes longer than a second: what it does, and for how long. The
 * line is removed when `work` ends, or writes with the context that it gets.
 */
export async function showingWork<T>(
  context: Context,
  what: string,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const { terminal, clock } = context;
  if (!terminal.isLive) return await work(context);
  const ended = new AbortController();
  let isDrawn = false;
  const clear = (): void => {
    if (isDrawn) terminal.err(drawnOver(''));
    isDrawn = false;
  };
  const tick = async (): Promise<void> => {
    for (let seconds = 1; ; seconds += everyMs / 1000) {
      await clock.sleep(everyMs, ended.signal);
      terminal.err(drawnOver(`${what}, ${seconds} s`));
      isDrawn = true;
    }
  };
  tick().catch(() => undefined); // it ends by `ended`
  try {
    const out = (text: string): void => {
      clear();
      terminal.out(text);
    };
    const err = (text: string): void => {
      clear();
      terminal.err(text);
    };
    return await work({ ...context, terminal: { ...terminal, out, err } });
  } finally {
    ended.abort();
    clear();
  }
}
