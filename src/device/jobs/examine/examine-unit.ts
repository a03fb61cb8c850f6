import { createHash } from 'node:crypto';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk, Owner } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeRoot,
  type RootDocument,
} from '../../../wire/trust/index.ts';
import type { ExamineContext, RootContext } from '../../../wire/trust/openpgp.ts';
import {
  decodeVerdict,
  encodeRequest,
  type ExamineRequest,
  type ExamineVerdict,
  maxExamineFileBytes,
} from './examine-files.ts';
import { knownCode } from '../index.ts';
import type { Examined } from './examined.ts';

const unit = 'wherry-examine.service';

interface ExaminePorts {
  readonly systemd: Systemd;
  readonly disk: Disk;
  readonly run: string;
  readonly owner: Owner;
}

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
  ports: ExaminePorts,
  signal: AbortSignal,
): Promise<Examined> {
  const verdict = await askUnit({ message, context }, ports, signal);
  const { era } = context.trusted;
  return {
    outcome: verdict.outcome,
    desired: decodeDesiredState(alreadyVerified(verdict.payload, 'examining-unit')),
    payloadSha256: createHash('sha256').update(verdict.payload).digest('hex'),
    signedBy: verdict.signedBy,
    ...(era === undefined ? {} : { era }),
  };
}

/** Has a root of trust examined in the same way. It throws as `examineInUnit` does. */
export async function examineRootInUnit(
  message: Uint8Array,
  rootContext: RootContext,
  ports: ExaminePorts,
  signal: AbortSignal,
): Promise<{
  readonly outcome: 'new' | 'same';
  readonly root: RootDocument;
  readonly signedBy: readonly string[];
}> {
  const { outcome, payload, signedBy } = await askUnit({ message, rootContext }, ports, signal);
  return { outcome, root: decodeRoot(alreadyVerified(payload, 'examining-unit')), signedBy };
}

async function askUnit(
  request: ExamineRequest,
  ports: ExaminePorts,
  signal: AbortSignal,
): Promise<Extract<ExamineVerdict, { ok: true }>> {
  const { systemd, disk, run, owner } = ports;
  const directory = join(run, 'examine');
  await disk.remove(directory);
  await mkdir(directory, { mode: 0o700 });
  await chown(directory, owner.uid, owner.gid);
  await disk.write(join(directory, 'request.cbor'), encodeRequest(request));
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
  if (!Buffer.from(request.message).includes(Buffer.from(verdict.payload))) {
    throw new Refusal('internal', 'the examined payload is not part of the message');
  }
  return verdict;
}
