import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeLogRequest,
  decodeRoot,
  encodeRoot,
  isEncrypted,
  type LogRequest,
  type RootDocument,
} from '../../../wire/trust/index.ts';
import type { ExamineContext, LogContext, RootContext } from '../../../wire/trust/openpgp.ts';
import { type JobPorts, runJob, type UnitJob } from '../index.ts';
import {
  type AcceptingVerdict,
  examineFiles,
  type ExamineRequest,
  type ReceivedSecret,
  valuesDirectory,
} from './examine-files.ts';
import type { Examined } from './examined.ts';

const unit = 'wherry-examine.service';
/** More than systemd-creds makes of a key. */
const maxKeyBytes = 64 * 1024;

type ExaminePorts = JobPorts & { readonly run: string };
type CommandPorts = ExaminePorts & {
  /** The path of the sealed key of this device. */
  readonly deviceKey: string;
  /** Seals the values that the unit has left in `directory`. They are removed afterwards. */
  readonly seal: (secrets: readonly ReceivedSecret[], directory: string) => Promise<void>;
};

/**
 * Examines a message in a unit without privileges, so that OpenPGP, the largest parser of untrusted
 * bytes, is never in wherryd's memory. Request and verdict are in memory (`/run`), so a flood of
 * messages does not wear the flash.
 *
 * @param signal ends the examination; its reason is thrown
 * @throws {Refusal} with the code of the fault of the message, `device-key-missing` when the
 *   message is encrypted and systemd cannot decrypt the key, or `internal` without a verdict
 */
export async function examineInUnit(
  message: Uint8Array,
  context: ExamineContext,
  ports: CommandPorts,
  signal: AbortSignal,
): Promise<Examined> {
  const takeOver = async ({ secrets = [] }: AcceptingVerdict, directory: string): Promise<void> => {
    if (secrets.length > 0) await ports.seal(secrets, join(directory, valuesDirectory));
  };
  const sealed = isEncrypted(message) ? await sealedKey(ports) : undefined;
  const verdict = await askUnit({ message, context }, ports, signal, takeOver, sealed);
  const { era } = context.trusted;
  return {
    outcome: verdict.outcome,
    desired: decodeDesiredState(alreadyVerified(verdict.payload, 'examining-unit')),
    payloadSha256: createHash('sha256').update(verdict.payload).digest('hex'),
    signedBy: verdict.signedBy,
    ...(era === undefined ? {} : { era }),
  };
}

/** The sealed key of this device, for systemd; undefined without one. */
async function sealedKey({ disk, deviceKey }: CommandPorts): Promise<UnitJob<never>['sealed']> {
  // One that cannot be read is damaged. systemd does not decrypt an empty one.
  const bytes = await disk.read(deviceKey, maxKeyBytes).catch(() => new Uint8Array());
  if (bytes === undefined) return undefined;
  const refusal = new Refusal(
    'device-key-missing',
    `the message is encrypted, and ${deviceKey} cannot be decrypted on this device: see journalctl -u ${unit}; if the key is damaged, make a new one with "wherry key init --force" and give it to the operator`,
  );
  return { name: 'device-key.cred', bytes, refusal };
}

/** Examines a root of trust in the same way. It throws as `examineInUnit` does. */
export async function examineRootInUnit(
  message: Uint8Array,
  { trusted, ...context }: RootContext,
  ports: ExaminePorts,
  signal: AbortSignal,
): Promise<{
  readonly outcome: 'new' | 'same';
  readonly root: RootDocument;
  readonly signedBy: readonly string[];
}> {
  const rootContext = { ...context, ...(trusted === undefined ? {} : { trusted: encodeRoot(trusted) }) };
  const { outcome, payload, signedBy } = await askUnit({ message, rootContext }, ports, signal);
  if (outcome === 'outside') throw new Refusal('internal', 'a root of trust is not for a share of a group');
  return { outcome, root: decodeRoot(alreadyVerified(payload, 'examining-unit')), signedBy };
}

/** Examines a request for logs in the same way. It throws as `examineInUnit` does. */
export async function examineLogsInUnit(
  message: Uint8Array,
  logContext: LogContext,
  ports: ExaminePorts,
  signal: AbortSignal,
): Promise<LogRequest> {
  const { payload } = await askUnit({ message, logContext }, ports, signal);
  return decodeLogRequest(alreadyVerified(payload, 'examining-unit'));
}

async function askUnit(
  request: ExamineRequest,
  ports: ExaminePorts,
  signal: AbortSignal,
  takeOver: (verdict: AcceptingVerdict, directory: string) => Promise<void> = () => Promise.resolve(),
  sealed?: UnitJob<never>['sealed'],
): Promise<AcceptingVerdict> {
  const directory = join(ports.run, 'examine');
  const job = { unit, directory, what: 'examination of the message', ...(sealed && { sealed }) };
  try {
    const verdict = await runJob(examineFiles, { ...job, job: request }, ports, signal);
    if (!verdict.ok) throw new Refusal(verdict.code, verdict.message);
    // The unit is not trusted, so the payload must at least be part of the message. That cannot be
    // checked for an encrypted message, which only the unit can decrypt.
    const { message } = request;
    if (!isEncrypted(message) && !Buffer.from(message).includes(Buffer.from(verdict.payload))) {
      throw new Refusal('internal', 'the examined payload is not part of the message');
    }
    await takeOver(verdict, directory);
    return verdict;
  } finally {
    await ports.disk.remove(directory);
  }
}
