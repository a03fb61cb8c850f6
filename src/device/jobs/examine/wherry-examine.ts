import { examineMessage } from '../../../wire/trust/openpgp.ts';
import { answerJob } from '../index.ts';
import { examineFiles } from './examine-files.ts';

/**
 * The examining unit: `unit-programs.cjs examine DIRECTORY`. Reads one message and what is known of the device from
 * `request.cbor`, and leaves `verdict.cbor`. It has no privileges and no network; whatever a hostile message does, it does
 * here.
 */
export async function examineUnit(directory: string): Promise<void> {
  await answerJob(examineFiles, directory, async ({ message, context }) => {
    const { outcome, payload, signedBy } = await examineMessage(message, context);
    return { ok: true, outcome, payload, signedBy };
  });
}
