import { readFile } from 'node:fs/promises';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  FleetDirectory,
  messageFor,
  namedSecrets,
  onEachMember,
  publishEnvelope,
  readSecrets,
  replaceFile,
  requireEnough,
  targetName,
} from '../../../operator/fleet/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  encodeEnvelope,
  groupOf,
  shareOf,
} from '../../../wire/trust/index.ts';
import { reviewSignatures } from '../../../wire/trust/openpgp.ts';
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
  const { payload, signatures } = decodeEnvelope(bytes);
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
  const atSeconds = Math.floor(context.clock.nowMs() / 1000);
  const added =
    sign === undefined ? await signByFleet(fleet, payload, atSeconds) : await sign(payload, atSeconds);
  const envelope = encodeEnvelope({ payload, signatures: await withSignature(payload, signatures, added) });
  await replaceFile(file, envelope);
  if (!flags.publish) {
    await requireEnough({ fleet, clock: context.clock }, envelope, 1);
    if (context.json) context.terminal.out(JSON.stringify({ device, version: desired.version, file }));
    else context.terminal.out(`signed ${file}`);
    return;
  }
  await requireEnough({ fleet, clock: context.clock }, envelope);
  const message = await messageFor(fleet, device, envelope, values);
  await fleet.addSignatures(device, desired.version, envelope, payload, message);
  await withLink(context, async (link) => {
    const group = groupOf(desired.target);
    await link.listen(group === undefined ? [device] : 'all');
    const before = link.views();
    const published = await publishEnvelope({ fleet, link }, device, desired.version, message);
    const members =
      group === undefined
        ? [published]
        : onEachMember({ fleet, link }, published, group, before, shareOf(desired.target));
    await finish(context, members, flags);
  });
}

async function signByFleet(fleet: FleetDirectory, payload: Uint8Array, atSeconds: number): Promise<string> {
  const { signDetached } = await import('../../../wire/trust/sign.ts');
  return await signDetached(
    payload,
    await fleet.key('deploy', 'private'),
    atSeconds,
    await fleet.copiesOf('deploy'),
  );
}

/** The same signature twice says nothing more; an envelope has room for eight. */
async function withSignature(
  payload: Uint8Array,
  signatures: readonly string[],
  added: string,
): Promise<readonly string[]> {
  // Whether it is one at all; whose it is, `requireEnough` asks.
  await reviewSignatures(payload, [added], [], { nowSeconds: 0, clockTrusted: false });
  return [...new Set([...signatures, added])];
}
