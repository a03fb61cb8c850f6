import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isRefusal } from '../../../core/refusal/index.ts';
import { examineMessage, examineRoot } from '../../../wire/trust/openpgp.ts';
import { decodeRequest, encodeVerdict, type ExamineVerdict } from './examine-files.ts';

/**
 * The examining unit: `unit-programs.cjs examine DIRECTORY`. Reads one message and what is known of the device from
 * `request.cbor`, and leaves `verdict.cbor`. It has no privileges and no network; whatever a hostile message does, it does
 * here.
 */
export async function examineUnit(directory: string): Promise<void> {
  const request = decodeRequest(readFileSync(`${directory}/request.cbor`));
  let verdict: ExamineVerdict;
  try {
    const { outcome, payload, signedBy } =
      'rootContext' in request
        ? await examineRoot(request.message, request.rootContext)
        : await examineMessage(request.message, request.context);
    verdict = { ok: true, outcome, payload, signedBy };
  } catch (error) {
    verdict = isRefusal(error)
      ? { ok: false, code: error.code, message: error.message.slice(0, 2000) }
      : { ok: false, code: 'internal', message: String(error).slice(0, 2000) };
  }
  writeFileSync(`${directory}/verdict.new`, encodeVerdict(verdict), { mode: 0o644 });
  renameSync(`${directory}/verdict.new`, `${directory}/verdict.cbor`);
}
