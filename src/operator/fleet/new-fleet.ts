import { rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isRefusal } from '../../core/refusal/index.ts';
import type { GeneratedKey } from '../../wire/trust/sign.ts';
import { FleetDirectory, type KeyRole } from './fleet-directory.ts';
import { exists } from './fleet-files.ts';

/**
 * Makes a fleet directory with both keys, or leaves the place as it was.
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
    // That of a fleet or a key that is there: somebody else's.
    if (!isRefusal(error, 'input-invalid')) {
      for (const { path: part, isDirectory } of absent)
        await (isDirectory ? rmdir(part) : rm(part, { force: true })).catch(() => undefined);
    }
    throw error;
  }
}

/** What a new fleet makes and is not there yet, the innermost first. */
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
