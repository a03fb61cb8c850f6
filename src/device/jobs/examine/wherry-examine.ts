import { alreadyVerified, decodeRoot } from '../../../wire/trust/index.ts';
import { examineMessage, examineRoot } from '../../../wire/trust/openpgp.ts';
import { answerJob } from '../index.ts';
import { examineFiles, type ExamineRequest } from './examine-files.ts';

/**
 * The examining unit: `unit-programs.cjs examine DIRECTORY`. Reads one message and what is known of
 * the device from `request.cbor`, and leaves `verdict.cbor`. It has no privileges and no network;
 * whatever a hostile message does, it does here.
 */
export async function examineUnit(directory: string): Promise<void> {
  await answerJob(examineFiles, directory, async (request) => {
    const { outcome, payload, signedBy } = await examine(request);
    return { ok: true, outcome, payload, signedBy };
  });
}

function examine(request: ExamineRequest): ReturnType<typeof examineRoot | typeof examineMessage> {
  if (!('rootContext' in request)) return examineMessage(request.message, request.context);
  const { trusted, ...context } = request.rootContext;
  if (trusted === undefined) return examineRoot(request.message, context);
  const document = decodeRoot(alreadyVerified(trusted, 'saved-state'));
  return examineRoot(request.message, { ...context, trusted: document });
}
