import { existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import { openRolloutStore, type RolloutStore } from '../../../controller/database/index.ts';
import { type FleetDirectory, isDatabase } from '../../../operator/fleet/index.ts';
import type { DatabaseFlags } from '../../flags.ts';

/** @throws Refusal `usage` for an address that is neither a file nor PostgreSQL */
export function requireDatabase({ database }: DatabaseFlags): void {
  if (database === undefined || isDatabase(database)) return;
  throw new Refusal('usage', '--database takes a SQLite file, or postgres://host/database');
}

/**
 * Refuses a new rollout whose ID is taken or whose devices are in another one. Makes no database: a
 * file that does not exist has no rollout.
 * @throws Refusal as `RolloutStore.requireNew` and `withStore`
 */
export async function requireNewRollout(
  fleet: FleetDirectory,
  flags: DatabaseFlags,
  id: string,
  devices: readonly string[],
): Promise<void> {
  const address = addressOf(fleet, flags);
  if (!address.includes('://') && !existsSync(address)) return;
  await withStore(fleet, flags, { isNew: true }, (store) => store.requireNew(id, devices));
}

/**
 * Opens the database of rollouts, and closes it after `work`. A file that was made for work that
 * failed is removed, unless a rollout is in it.
 * @throws Refusal as `requireDatabase` and the store
 */
export async function withStore<T>(
  fleet: FleetDirectory,
  flags: DatabaseFlags,
  options: { readonly isNew: boolean },
  work: (store: RolloutStore) => Promise<T>,
): Promise<T> {
  const address = addressOf(fleet, flags);
  const isMade = options.isNew && !address.includes('://') && !existsSync(address);
  let isEmpty = isMade;
  try {
    const store = await openRolloutStore(address, fleet.config.fleet, options);
    try {
      return await work(store);
    } catch (error) {
      isEmpty &&= (await store.list()).length === 0;
      throw error;
    } finally {
      await store.close();
    }
  } catch (error) {
    if (isEmpty) for (const end of ['', '-wal', '-shm']) rmSync(`${address}${end}`, { force: true });
    throw error;
  }
}

/** @throws Refusal as `requireDatabase` */
function addressOf(fleet: FleetDirectory, flags: DatabaseFlags): string {
  requireDatabase(flags);
  const { database = fleet.config.rolloutDatabase } = flags;
  if (database.includes('://')) return database;
  // A path on the command line is relative to the current directory, as every other one.
  return flags.database === undefined ? resolve(fleet.path, database) : resolve(database);
}
