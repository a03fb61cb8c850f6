import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { alreadyVerified, decodeRoot, isEncrypted } from '../../../wire/trust/index.ts';
import {
  examineLogRequest,
  examineMessage,
  examineRoot,
  type ExaminedSecret,
} from '../../../wire/trust/openpgp.ts';
import { answerJob } from '../index.ts';
import {
  type AcceptingVerdict,
  examineFiles,
  type ExamineRequest,
  valueFile,
  valuesDirectory,
} from './examine-files.ts';

/** The credential that systemd passes to this unit, and to no other program of wherry. */
const keyCredential = 'wherry.device-key';

/**
 * The examining unit: `unit-programs.cjs examine DIRECTORY`. Reads one message and the facts of the
 * device from `request.cbor`, and writes `verdict.cbor`. It has no privileges and no network, which
 * confines a hostile message.
 */
export async function examineUnit(directory: string): Promise<void> {
  await answerJob(examineFiles, directory, (request) => {
    if ('logContext' in request) return examineLogsAsked(request);
    return 'rootContext' in request ? examineRootOf(request) : examineCommand(request, directory);
  });
}

async function examineLogsAsked({
  message,
  logContext,
}: Extract<ExamineRequest, { logContext: unknown }>): Promise<AcceptingVerdict> {
  const { payload, signedBy } = await examineLogRequest(message, logContext);
  return { ok: true, outcome: 'new', payload, signedBy };
}

async function examineCommand(
  { message, context }: Extract<ExamineRequest, { context: unknown }>,
  directory: string,
): Promise<AcceptingVerdict> {
  const deviceKey = isEncrypted(message) ? await readDeviceKey() : undefined;
  const { outcome, payload, signedBy, secrets } = await examineMessage(message, context, deviceKey);
  if (secrets.length === 0) return { ok: true, outcome, payload, signedBy };
  await leaveValues(secrets, join(directory, valuesDirectory));
  const received = secrets.map(({ name, digest }) => ({ name, digest }));
  return { ok: true, outcome, payload, signedBy, secrets: received };
}

async function examineRootOf({
  message,
  rootContext: { trusted, ...context },
}: Extract<ExamineRequest, { rootContext: unknown }>): Promise<AcceptingVerdict> {
  const document = trusted === undefined ? undefined : decodeRoot(alreadyVerified(trusted, 'saved-state'));
  const { outcome, payload, signedBy } = await examineRoot(message, {
    ...context,
    ...(document === undefined ? {} : { trusted: document }),
  });
  return { ok: true, outcome, payload, signedBy };
}

/** The key of the device, which systemd has decrypted for this unit; undefined without one. */
async function readDeviceKey(): Promise<string | undefined> {
  const directory = process.env['CREDENTIALS_DIRECTORY'];
  if (directory === undefined) return undefined;
  const text = await readFile(join(directory, keyCredential), 'utf8');
  return text.startsWith('-----BEGIN') ? text : undefined;
}

/** Writes values to memory (`/run`), until they are sealed. wherryd never reads them. */
async function leaveValues(secrets: readonly ExaminedSecret[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const { name, digest, value } of secrets)
    await writeFile(join(directory, valueFile({ name, digest })), value, { mode: 0o600 });
}
