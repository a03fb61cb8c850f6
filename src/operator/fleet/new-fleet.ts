import { rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isRefusal } from '../../core/refusal/index.ts';
import type { GeneratedKey } from '../../wire/trust/sign.ts';
import { FleetDirectory, type KeyRole } from './fleet-directory.ts';
import { exists } from './fleet-files.ts';

/**
 * Makes a fleet directory with both keys. A failure leaves the path unchanged.
 * @throws Refusal as `FleetDirectory.init` and `saveKeys`
 */
export async function newFleet(
  path: string,
  options: Parameters<typeof FleetDirectory.init>[1],
  keys: Readonly<Record<KeyRole, Pick<GeneratedKey, 'publicKey' | 'privateKey'>>>,
): Promise<FleetDirectory> {
  const absent = await absentParts(path);
  try {
    const fleet = await FleetDirectory.init(path, options);
    for (const role of ['deploy', 'images'] as const)
      await fleet.saveKeys(role, keys[role], { replace: false });
    return fleet;
  } catch (error) {
    // An existing fleet or key is not removed: it may belong to someone else.
    if (!isRefusal(error, 'input-invalid')) {
      for (const { path: part, isDirectory } of absent)
        await (isDirectory ? rmdir(part) : rm(part, { force: true })).catch(() => undefined);
    }
    throw error;
  }
}

/** The parts of a new fleet that do not exist yet, the innermost first. */
async function absentParts(path: string): Promise<readonly { path: string; isDirectory: boolean }[]> {
  const above = [resolve(path)];
  for (let next = dirname(resolve(path)); !(await exists(next)); next = dirname(next)) above.push(next);
  const parts = [
    ...['deploy', 'images'].flatMap((role) => [`keys/${role}.key.asc`, `keys/${role}.pub.asc`]),
    'fleet.toml',
  ].map((name) => ({ path: join(path, name), isDirectory: false }));
  const directories = [...['keys', 'devices', 'images'].map((name) => join(path, name)), ...above];
  const all = [...parts, ...directories.map((name) => ({ path: name, isDirectory: true }))];
  const isThere = await Promise.all(all.map((part) => exists(part.path)));
  return all.filter((_, index) => isThere[index] === false);
}
