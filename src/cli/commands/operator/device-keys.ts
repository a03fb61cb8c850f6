import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unreadableFile } from '../../../core/refusal/index.ts';
import { FleetDirectory, requireDeviceKey } from '../../../operator/fleet/index.ts';
import { formatFingerprint } from '../../../wire/trust/sign.ts';
import type { Context } from '../../context.ts';

/**
 * `wherry fleet key add`. The file comes from the device itself, by ssh or with its card: keys
 * from a broker are ignored.
 */
export async function addDeviceKey(
  context: Context,
  device: string,
  file: string,
  options: { readonly replace?: true },
): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const armored = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the key ${file}`, cause);
  });
  const fingerprint = await requireDeviceKey(armored, file);
  const path = await fleet.pinDeviceKey(device, armored, { replace: options.replace === true });
  for (const other of await fleet.devicesWithKeys()) {
    if (other === device) continue;
    const theirs = await readFile(join(dirname(path), `${other}.asc`), 'utf8').catch(() => undefined);
    if (theirs?.trim() === armored.trim())
      context.terminal.err(
        `note: ${other} has this very key: it can read the secrets of ${device}; if the two are different devices, the file is that of the wrong one, or one was cloned and needs "wherry key init --force"\n`,
      );
  }
  if (context.json) {
    context.terminal.out(JSON.stringify({ device, fingerprint, path }));
    return;
  }
  context.terminal.out(`commands for ${device} are encrypted to ${formatFingerprint(fingerprint)}`);
  context.terminal.out(
    'compare that with the device itself: "wherry key show" prints it there, behind "Comment: wherry"',
  );
}

/** `wherry fleet key list` */
export async function listDeviceKeys(context: Context): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const keys = [];
  for (const device of await fleet.devicesWithKeys()) {
    const key = await fleet.deviceKey(device);
    if (key !== undefined) keys.push({ device, fingerprint: key.fingerprint });
  }
  if (context.json) context.terminal.out(JSON.stringify(keys));
  else
    for (const { device, fingerprint } of keys)
      context.terminal.out(`${device}  ${formatFingerprint(fingerprint)}`);
}
