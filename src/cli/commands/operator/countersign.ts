import { readFile } from 'node:fs/promises';
import { fromFile, isRefusal, Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import {
  addSignature,
  FleetDirectory,
  messageFor,
  publishEnvelope,
  readSecrets,
  replaceFile,
  requireEnough,
  requireNamedValues,
  shareInWords,
  signatureOf,
  targetName,
} from '../../../operator/fleet/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  decodeLogRequest,
  groupOf,
  shareOf,
  type LogRequest,
  type VerifiedPayload,
} from '../../../wire/trust/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { CountersignFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { finish } from './follow-published.ts';
import { followed } from './group-members.ts';
import { hearAndPrint } from './hear-and-print.ts';

/**
 * `wherry countersign`: a second person signs the command, or the request for logs, that a first
 * one has signed, and publishes it.
 */
export async function countersign(context: Context, file: string, flags: CountersignFlags): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw unreadableFile(`the command ${file}`, cause);
  });
  // The signer decides by what is shown here.
  const { payload: signed } = fromFile(file, 'what --sign-only writes', () => decodeEnvelope(bytes));
  const payload = alreadyVerified(signed, 'own-history');
  const request = logRequestOf(payload);
  if (request === undefined) await countersignCommand(context, fleet, { file, bytes, payload }, flags);
  else await countersignRequest(context, fleet, { file, bytes, request }, flags);
}

async function countersignCommand(
  context: Context,
  fleet: FleetDirectory,
  {
    file,
    bytes,
    payload,
  }: { readonly file: string; readonly bytes: Uint8Array; readonly payload: VerifiedPayload },
  flags: CountersignFlags,
): Promise<void> {
  const { values, saveKey } = await readSecrets(fleet, flags.secret ?? []);
  const desired = fromFile(file, 'what --sign-only writes', () => decodeDesiredState(payload));
  const device = targetName(desired.target);
  requireFleet(fleet, file, desired.fleet);
  requireNamedValues(file, desired, values);
  const pods = desired.pods.map(({ name }) => name).join(', ');
  const share = shareOf(desired.target);
  const part = share === undefined ? '' : ` on ${shareInWords(share)}`;
  context.terminal.err(
    `${device}: version ${desired.version} runs ${pods === '' ? 'nothing' : pods}${part}\n`,
  );
  const envelope = await signFile(context, fleet, file, bytes, flags);
  if (!flags.publish) {
    if (context.json) context.terminal.out(JSON.stringify({ device, version: desired.version, file }));
    else context.terminal.out(`signed ${file}`);
    return;
  }
  await requireSigned(context, fleet, file, envelope);
  const message = await messageFor(fleet, device, envelope, values);
  await saveKey();
  await fleet.addSignatures(device, desired.version, envelope, payload, message);
  await withLink(context, async (link) => {
    const group = groupOf(desired.target);
    await link.listen(group === undefined ? [device] : 'all');
    const before = link.views();
    const published = await publishEnvelope({ fleet, link }, device, desired.version, message);
    const { wait } = flags;
    const members = followed(context, { fleet, link }, [published], { group, wait, share }, before);
    await finish(context, members, flags);
  });
}

async function countersignRequest(
  context: Context,
  fleet: FleetDirectory,
  {
    file,
    bytes,
    request,
  }: { readonly file: string; readonly bytes: Uint8Array; readonly request: LogRequest },
  flags: CountersignFlags,
): Promise<void> {
  const { device, pod, app, expires } = request;
  requireFleet(fleet, file, request.fleet);
  const seconds = expires - Math.floor(context.clock.nowMs() / 1000);
  if (seconds <= 0)
    throw new Refusal(
      'expired',
      `the request ${file} expired ${-seconds} s ago; make another one, with a longer --for`,
    );
  const what = app === undefined ? `the pod ${pod}` : `the app ${app} of the pod ${pod}`;
  context.terminal.err(
    `${device}: logs of ${what}, at most ${request.limitBytes} bytes, within ${seconds} s\n`,
  );
  const envelope = await signFile(context, fleet, file, bytes, flags);
  if (!flags.publish) {
    if (context.json) context.terminal.out(JSON.stringify({ device, pod, file }));
    else context.terminal.out(`signed ${file}`);
    return;
  }
  await requireSigned(context, fleet, file, envelope);
  await hearAndPrint(context, fleet, { device, message: envelope, seconds });
}

/** Undefined for a command. */
function logRequestOf(payload: VerifiedPayload): LogRequest | undefined {
  try {
    return decodeLogRequest(payload);
  } catch (error) {
    if (!isRefusal(error, 'request-malformed')) throw error;
    return undefined;
  }
}

function requireFleet(fleet: FleetDirectory, file: string, name: string): void {
  if (name !== fleet.config.fleet)
    throw new Refusal('wrong-fleet', `${file} is for fleet ${name}; this is ${fleet.config.fleet}`);
}

/** Adds a signature of the role to the file. */
async function signFile(
  { clock }: Context,
  fleet: FleetDirectory,
  file: string,
  bytes: Uint8Array,
  flags: CountersignFlags,
): Promise<Uint8Array> {
  const sign = await signatureOf(fleet, signerOf(flags));
  const { envelope, alone } = await addSignature(bytes, sign, Math.floor(clock.nowMs() / 1000));
  await requireEnough({ fleet, clock }, alone, { threshold: 1 });
  await replaceFile(file, envelope);
  return envelope;
}

async function requireSigned(
  { clock }: Context,
  fleet: FleetDirectory,
  file: string,
  envelope: Uint8Array,
): Promise<void> {
  const advice = `have others sign ${file} with "wherry countersign"`;
  await requireEnough({ fleet, clock }, envelope, { advice });
}
