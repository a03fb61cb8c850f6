import { isRefusal, refusalCodes } from '../../core/refusal/index.ts';
import { decodeEnvelope, decodeMessage } from '../../wire/trust/index.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * What rubbish on the topic of commands may cost: a client that may publish there can send any
 * number of messages. Each examination is a process, each refusal a line in the journal, an event
 * and a report.
 */

/**
 * Examinations of messages that turn out not to be new commands. A valid command that is the newest
 * message waits for at most one refill, and gives its token back.
 */
export const examinationBudget = (): TokenBucket => new TokenBucket({ burst: 20, refillMs: 8_000 });

/** Reports that answer a command which came again; a flood of those costs no more. */
export const repeatBudget = (): TokenBucket => new TokenBucket({ burst: 3, refillMs: 8_000 });

/**
 * Refusals that are answered, reported and logged one by one; those beyond are counted and told
 * with the next.
 */
export const refusalBudget = (): TokenBucket => new TokenBucket({ burst: 30, refillMs: 10_000 });

/**
 * What can be seen without OpenPGP, so without a process: size, envelope, presence of signatures.
 * Of an encrypted message that is size and form.
 * @throws Refusal `envelope-too-large`, `envelope-malformed`, `unsigned`
 */
export function checkMessage(message: Uint8Array): void {
  decodeMessage(message);
}

/** The same for a root of trust, which everybody may read. @throws Refusal as `checkMessage` */
export function checkEnvelope(message: Uint8Array): void {
  decodeEnvelope(message);
}

/**
 * An examination that failed by itself is tried this often, the first included, unless the broker
 * sends the message again.
 */
export const maxExaminations = 5;

/** How long to wait after the `failures`th failure of an examination. */
export function examineAgainInMs(failures: number): number {
  return 10_000 * 2 ** (failures - 1);
}

/**
 * Whether an error says something about the message. Any other code is about this device (a unit
 * that was killed or could not start, a full disk): the message is as good as before.
 */
export function isVerdict(error: unknown): boolean {
  return isRefusal(error) && refusalCodes[error.code][0] === 'command';
}
