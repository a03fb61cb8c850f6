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
 * Opens the database of rollouts, and closes it after `work`.
 * @throws Refusal as `requireDatabase` and the store
 */
export async function withStore<T>(
  fleet: FleetDirectory,
  flags: DatabaseFlags,
  options: { readonly isNew: boolean },
  work: (store: RolloutStore) => Promise<T>,
): Promise<T> {
  requireDatabase(flags);
  const { database = fleet.config.rolloutDatabase } = flags;
  const isUrl = database.includes('://');
  const address = isUrl ? database : resolve(fleet.path, database);
  const store = await openRolloutStore(address, fleet.config.fleet, options);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
