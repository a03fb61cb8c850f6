import { parentPort, workerData } from 'node:worker_threads';
import { isRefusal } from '../refusal/index.ts';
import { examineMessage, type ExamineContext } from '../trust/openpgp.ts';
import type { WorkerAnswer } from './examiner.ts';

/** The thread that examiner.ts starts for one message: it loads OpenPGP, answers and ends. */
const { message, context } = workerData as { message: Uint8Array; context: ExamineContext };
let answer: WorkerAnswer;
try {
  answer = { ok: true, examined: await examineMessage(message, context) };
} catch (error) {
  answer = isRefusal(error)
    ? { ok: false, code: error.code, message: error.message }
    : { ok: false, code: 'internal', message: error instanceof Error ? (error.stack ?? '') : String(error) };
}
parentPort?.postMessage(answer);
