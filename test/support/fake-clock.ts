import type { Clock } from '../../src/core/ports/index.ts';

/** A clock that advances only when a test calls `pass`, and jumps when it calls `jump`. */
export class FakeClock implements Clock {
  #startMs: number;
  #now = 0;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  /** Every requested delay, in order. */
  readonly delays: number[] = [];

  /** @param startMs the wall clock at the beginning */
  constructor(startMs = 0) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#now;
  }

  /** Sets the wall clock forward, or back by a negative number. No time passes. */
  jump(ms: number): void {
    this.#startMs += ms;
  }

  monotonicMs(): number {
    return this.#now;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    this.delays.push(delayMs);
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason as Error);
      };
      const wake = () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const sleeper = { at: this.#now + delayMs, wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Advances by `ms`, and ends the sleeps that become due. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#sleepers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#sleepers = this.#sleepers.filter((other) => other !== next);
      this.#now = next.at;
      next.wake();
    }
    this.#now = until;
    await settle();
  }
}

/** Runs every pending promise reaction and immediate. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
