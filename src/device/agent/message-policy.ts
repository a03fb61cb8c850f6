import { isRefusal, type Refusal, refusalCodes } from '../../core/refusal/index.ts';
import { decodeEnvelope, decodeMessage } from '../../wire/trust/index.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * Limits on the cost of invalid messages on the topic of commands: a client that may publish there
 * can send any number of them. Each examination is a process; each refusal is a line in the
 * journal, an event and a report.
 */

/**
 * The budget of examinations of messages that are not new commands. A valid command that is the
 * newest message waits for at most one refill, and returns its token.
 */
export const examinationBudget = (): TokenBucket => new TokenBucket({ burst: 20, refillMs: 8_000 });

/** The budget of reports that answer a repeated command. */
export const repeatBudget = (): TokenBucket => new TokenBucket({ burst: 3, refillMs: 8_000 });

/**
 * The budget of refusals that are answered, reported and logged one by one. The next such refusal
 * contains the number of those over the budget.
 */
export const refusalBudget = (): TokenBucket => new TokenBucket({ burst: 30, refillMs: 10_000 });

/**
 * Checks what needs no OpenPGP and so no process: size, envelope, presence of signatures. For an
 * encrypted message that is size and form.
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
 * How many times an examination is tried that fails for a reason of the device, the first included,
 * unless the broker sends the message again. One that fails because of the disk is tried until
 * there is room: a person frees it, and does not know which command waits for that.
 */
export const maxExaminations = 5;

/** How long to wait after the `failures`th failure of an examination: at most an hour. */
export function examineAgainInMs(failures: number): number {
  return Math.min(10_000 * 2 ** (failures - 1), 3_600_000);
}

/** Whether the reason is that the disk is full or cannot be written. */
export function isOfDisk({ code }: Refusal): boolean {
  return code === 'no-space' || code === 'disk-failed';
}

/**
 * Whether an error is about the message. Any other code is about this device (a unit that was
 * killed or could not start, a full disk), and the message may still be valid.
 */
export function isVerdict(error: unknown): boolean {
  return isRefusal(error) && refusalCodes[error.code][0] === 'command';
}
