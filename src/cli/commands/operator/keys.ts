import { FleetDirectory, type KeyRole } from '../../../operator/fleet/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import { fingerprintOf, formatFingerprint, generateKey } from '../../../wire/trust/sign.ts';
import type { Context } from '../../context.ts';

/** `wherry keys new` */
export async function newKey(
  context: Context,
  name: string,
  options: { readonly force?: true },
): Promise<void> {
  const role = parseRole(name);
  const fleet = await FleetDirectory.open(context.fleetPath);
  const createdSeconds = Math.floor(context.clock.nowMs() / 1000);
  const pair = await generateKey({ name: `${fleet.config.fleet} ${role}`, createdSeconds });
  await fleet.saveKeys(role, pair, { replace: options.force === true });
  const path = fleet.keyPath(role, 'public');
  if (context.json) {
    context.terminal.out(JSON.stringify({ role, fingerprint: pair.fingerprint, path }));
    return;
  }
  context.terminal.out(`${role} key ${formatFingerprint(pair.fingerprint)}`);
  context.terminal.out(`devices must trust ${path}`);
}

/** `wherry keys export` */
export async function exportKey(context: Context, name: string): Promise<void> {
  const role = parseRole(name);
  const fleet = await FleetDirectory.open(context.fleetPath);
  const armored = await fleet.key(role, 'public');
  if (context.json) {
    const fingerprint = await fingerprintOf(armored);
    context.terminal.out(JSON.stringify({ role, fingerprint, publicKey: armored }));
  } else {
    context.terminal.out(armored.trimEnd());
  }
}

function parseRole(name: string): KeyRole {
  if (name === 'deploy' || name === 'images') return name;
  throw new Refusal('usage', `${JSON.stringify(name)} is not a role of a key; use deploy or images`);
}
