import { Worker } from 'node:worker_threads';
import { Refusal, type RefusalCode } from '../refusal/index.ts';
import type { Examined, ExamineContext } from '../trust/openpgp.ts';

export type WorkerAnswer =
  | { readonly ok: true; readonly examined: Examined }
  | { readonly ok: false; readonly code: RefusalCode; readonly message: string };

/** What a message may take before it is given up: a hostile one must not hold the daemon. */
const timeoutMs = 120_000;
const heapLimits = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 8 };

/**
 * Examines a message in a thread of its own, so that OpenPGP is not in memory while nothing happens and a message that
 * exhausts time or memory costs that thread only.
 *
 * @param worker the compiled examine-worker.ts
 * @throws {Refusal} with the code of whatever is wrong with the message
 */
export async function examineApart(
  worker: URL,
  message: Uint8Array,
  context: ExamineContext,
): Promise<Examined> {
  const thread = new Worker(worker, { workerData: { message, context }, resourceLimits: heapLimits });
  try {
    const answer = await new Promise<WorkerAnswer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no verdict within ${timeoutMs / 1000} s`)), timeoutMs);
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        act();
      };
      thread.once('message', (value: WorkerAnswer) => settle(() => resolve(value)));
      thread.once('error', (error) => settle(() => reject(error)));
      thread.once('exit', () => settle(() => reject(new Error('the thread ended without a verdict'))));
    });
    if (answer.ok) return answer.examined;
    throw new Refusal(answer.code, answer.message);
  } finally {
    await thread.terminate();
  }
}
