import { createHash } from 'node:crypto';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk, Owner } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import { alreadyVerified, decodeDesiredState } from '../../../wire/trust/index.ts';
import type { ExamineContext } from '../../../wire/trust/openpgp.ts';
import { decodeVerdict, encodeRequest, maxExamineFileBytes } from './examine-files.ts';
import { knownCode } from '../index.ts';
import type { Examined } from './examined.ts';

const unit = 'wherry-examine.service';

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
  ports: { readonly systemd: Systemd; readonly disk: Disk; readonly run: string; readonly owner: Owner },
  signal: AbortSignal,
): Promise<Examined> {
  const { systemd, disk, run, owner } = ports;
  const directory = join(run, 'examine');
  await disk.remove(directory);
  await mkdir(directory, { mode: 0o700 });
  await chown(directory, owner.uid, owner.gid);
  await disk.write(join(directory, 'request.cbor'), encodeRequest({ message, context }));
  await disk.own(join(directory, 'request.cbor'), owner, 0o400);
  let ended: string;
  let file: Uint8Array | undefined;
  try {
    await systemd.resetFailed(unit);
    ended = await systemd.run(unit, signal);
    file = await disk.read(join(directory, 'verdict.cbor'), maxExamineFileBytes);
  } finally {
    if (signal.aborted) await systemd.stop(unit);
    await disk.remove(directory);
  }
  if (file === undefined)
    throw new Refusal('internal', `the message was examined without a verdict (${ended})`);
  const verdict = decodeVerdict(file);
  if (!verdict.ok) throw new Refusal(knownCode(verdict.code), verdict.message);
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
}
