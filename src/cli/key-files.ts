import { readFile } from 'node:fs/promises';
import type { FleetDirectory, KeyRole } from '../operator/fleet/index.ts';
import { Refusal, unreadableFile } from '../core/refusal/index.ts';
import { whyNotKeys } from '../wire/trust/openpgp.ts';

/**
 * Reads files of armored public keys. Refuses a file that is not one by its name: if it were
 * skipped, the error would be a signature by an unknown key.
 *
 * @throws Refusal `not-found`, `input-invalid`
 */
export async function readPublicKeys(paths: readonly string[]): Promise<string[]> {
  return await Promise.all(
    paths.map(async (path) => {
      const armored = await readFile(path, 'utf8').catch((cause: unknown) => {
        throw unreadableFile(`the key ${path}`, cause);
      });
      const reason = await whyNotKeys(armored);
      if (reason !== undefined) throw new Refusal('input-invalid', `${path} is not a public key: ${reason}`);
      return armored;
    }),
  );
}

/** The public key of the fleet for `role`. @throws Refusal `not-found`, `input-invalid` */
export async function readFleetKeys(fleet: FleetDirectory, role: KeyRole): Promise<string[]> {
  await fleet.key(role, 'public'); // its refusal names the command that makes one
  return await readPublicKeys([fleet.keyPath(role, 'public')]);
}
