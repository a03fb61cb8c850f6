import { BusLost } from './bus-connection.ts';
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
 * Bounds a wait. A job may take hours (a pull), so it has no time limit. Instead, systemd is
 * queried regularly whether it still has the job, and that call has a limit.
 */
export interface JobCheck {
  readonly everyMs: number;
  readonly exists: (job: string) => Promise<boolean>;
}

/**
 * Matches systemd's jobs with JobRemoved signals. The signal may come before the answer to the call
 * that created the job, so ends of unknown jobs are kept while such a call is under way.
 */
export class JobEnds {
  readonly #waiters = new Map<string, Waiter>();
  readonly #early = new Map<string, JobResult>();
  #calls = 0;

  /** Must be called for each JobRemoved. */
  ended(job: string, result: string): void {
    // A result that is not in the list comes from a later systemd and counts as `failed`.
    const known = results.has(result) ? (result as JobResult) : 'failed';
    const waiter = this.#waiters.get(job);
    if (waiter !== undefined) waiter.resolve(known);
    else if (this.#calls > 0) this.#early.set(job, known);
  }

  /**
   * Waits for the job that `enqueue` creates; `enqueue` returns the job's object path.
   * @throws BusLost when systemd no longer has the job and never sent its result; the reason of
   *   `signal`, which does not end the job
   */
  async of(enqueue: () => Promise<string>, check: JobCheck, signal?: AbortSignal): Promise<JobResult> {
    this.#calls += 1;
    try {
      const job = await enqueue();
      return this.#early.get(job) ?? (await this.#end(job, check, signal));
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) this.#early.clear();
    }
  }

  /** Called when no more ends will be reported: every wait fails with `error`. */
  lost(error: Error): void {
    for (const { reject } of [...this.#waiters.values()]) reject(error);
    this.#early.clear();
  }

  #end(job: string, check: JobCheck, signal?: AbortSignal): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const timer = setInterval(() => {
        check.exists(job).then(
          // systemd sends the end of a job before it forgets the job, so a sent result has been
          // handled by now.
          (exists) =>
            exists ? undefined : this.#waiters.get(job)?.reject(new BusLost(`systemd lost ${job}`)),
          (error: unknown) =>
            this.#waiters.get(job)?.reject(error instanceof Error ? error : new Error(String(error))),
        );
      }, check.everyMs);
      const settle = () => {
        clearInterval(timer);
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
