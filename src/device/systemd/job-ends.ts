import type { JobResult } from './systemd.ts';

const results: ReadonlySet<string> = new Set<JobResult>([
  'done',
  'canceled',
  'timeout',
  'failed',
  'dependency',
  'skipped',
  'invalid',
  'unsupported',
]);

interface Waiter {
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Matches systemd's jobs with JobRemoved signals. The signal may come before the answer of the call that made the job, so
 * ends of unknown jobs are kept as long as such a call is under way.
 */
export class JobEnds {
  readonly #waiters = new Map<string, Waiter>();
  readonly #early = new Map<string, JobResult>();
  #calls = 0;

  /** To be called for each JobRemoved. */
  ended(job: string, result: string): void {
    // A result that is not in the list is one that a later systemd has; none but `done` and `skipped` means success.
    const known = results.has(result) ? (result as JobResult) : 'failed';
    const waiter = this.#waiters.get(job);
    if (waiter !== undefined) waiter.resolve(known);
    else if (this.#calls > 0) this.#early.set(job, known);
  }

  /** Waits for the job that `enqueue` makes; `enqueue` gives the job's object path. */
  async of(enqueue: () => Promise<string>, signal?: AbortSignal): Promise<JobResult> {
    signal?.throwIfAborted();
    this.#calls += 1;
    try {
      const job = await enqueue();
      return this.#early.get(job) ?? (await this.#end(job, signal));
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) this.#early.clear();
    }
  }

  /** No end will be told any more: every wait fails with `error`. */
  lost(error: Error): void {
    for (const { reject } of [...this.#waiters.values()]) reject(error);
    this.#early.clear();
  }

  #end(job: string, signal?: AbortSignal): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#waiters.delete(job);
        signal?.removeEventListener('abort', aborted);
      };
      const aborted = () => {
        settle();
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      if (signal?.aborted === true) {
        aborted();
        return;
      }
      signal?.addEventListener('abort', aborted, { once: true });
      this.#waiters.set(job, {
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
    });
  }
}
