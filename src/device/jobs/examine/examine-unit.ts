import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import { alreadyVerified, decodeDesiredState } from '../../../wire/trust/index.ts';
import type { ExamineContext } from '../../../wire/trust/openpgp.ts';
import { type JobPorts, runJob } from '../index.ts';
import { examineFiles } from './examine-files.ts';
import type { Examined } from './examined.ts';

/**
 * Has a message examined by a unit without privileges: OpenPGP, the largest parser of untrusted bytes, is never in
 * wherryd's memory. Request and verdict lie in memory (`/run`), so a flood of messages wears no flash.
 *
 * @param signal ends the examination; what it was aborted with is thrown
 * @throws {Refusal} with the code of whatever is wrong with the message, `internal` when there was no verdict
 */
export async function examineInUnit(
  message: Uint8Array,
  context: ExamineContext,
  ports: JobPorts & { readonly run: string },
  signal: AbortSignal,
): Promise<Examined> {
  const directory = join(ports.run, 'examine');
  const job = { unit: 'wherry-examine.service', directory, what: 'examination of the message' };
  try {
    const verdict = await runJob(examineFiles, { ...job, job: { message, context } }, ports, signal);
    if (!verdict.ok) throw new Refusal(verdict.code, verdict.message);
    // The unit may say what it likes about signatures; what it calls signed must at least be what came.
    if (!Buffer.from(message).includes(Buffer.from(verdict.payload))) {
      throw new Refusal('internal', 'the examined payload is not part of the message');
    }
    return {
      outcome: verdict.outcome,
      desired: decodeDesiredState(alreadyVerified(verdict.payload, 'examining-unit')),
      payloadSha256: createHash('sha256').update(verdict.payload).digest('hex'),
      signedBy: verdict.signedBy,
    };
  } finally {
    await ports.disk.remove(directory);
  }
}
