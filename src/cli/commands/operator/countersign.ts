import { readFile } from 'node:fs/promises';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  addSignature,
  enoughSignatures,
  FleetDirectory,
  messageFor,
  namedSecrets,
  onEachMember,
  publishEnvelope,
  readSecrets,
  replaceFile,
  signatureOf,
  targetName,
} from '../../../operator/fleet/index.ts';
import { alreadyVerified, decodeDesiredState, decodeEnvelope, groupOf } from '../../../wire/trust/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { CountersignFlags } from '../../flags.ts';
import { signerOf } from '../../signing.ts';
import { finish } from './follow-published.ts';

/**
 * `wherry countersign`: a second person signs the command that a first one has made, and publishes
 * it.
 */
export async function countersign(context: Context, file: string, flags: CountersignFlags): Promise<void> {
  const sign = signerOf(flags);
  const fleet = await FleetDirectory.open(context.fleetPath);
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new Refusal('not-found', `the command ${file} cannot be read`, { cause });
  });
  const values = await readSecrets(fleet, flags.secret ?? []);
  const { payload } = decodeEnvelope(bytes);
  const desired = decodeDesiredState(alreadyVerified(payload, 'own-history'));
  const device = targetName(desired.target);
  if (desired.fleet !== fleet.config.fleet)
    throw new Refusal('wrong-fleet', `${file} is for fleet ${desired.fleet}; this is ${fleet.config.fleet}`);
  for (const { name, digest } of namedSecrets(values)) {
    if (desired.secrets?.some((secret) => secret.name === name && secret.digest === digest) === true)
      continue;
    throw new Refusal('secret-mismatch', `${file} was not signed with this value of the secret ${name}`);
  }
  const pods = desired.pods.map(({ name }) => name).join(', ');
  context.terminal.err(`${device}: version ${desired.version} runs ${pods === '' ? 'nothing' : pods}\n`);
  const { envelope, alone } = await addSignature(
    bytes,
    await signatureOf(fleet, sign),
    Math.floor(context.clock.nowMs() / 1000),
  );
  const requireEnough = await enoughSignatures({ fleet, clock: context.clock });
  await requireEnough(alone, { threshold: 1 });
  await replaceFile(file, envelope);
  if (!flags.publish) {
    if (context.json) context.terminal.out(JSON.stringify({ device, version: desired.version, file }));
    else context.terminal.out(`signed ${file}`);
    return;
  }
  await requireEnough(envelope, { advice: `have others sign ${file} with "wherry countersign"` });
  const message = await messageFor(fleet, device, envelope, values);
  await fleet.addSignatures(device, desired.version, envelope, payload, message);
  await withLink(context, async (link) => {
    const group = groupOf(desired.target);
    await link.listen(group === undefined ? [device] : 'all');
    const before = link.views();
    const published = await publishEnvelope({ fleet, link }, device, desired.version, message);
    const members =
      group === undefined ? [published] : onEachMember({ fleet, link }, published, group, before);
    await finish(context, members, flags);
  });
}
