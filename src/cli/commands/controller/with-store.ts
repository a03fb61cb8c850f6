import { resolve } from 'node:path';
import { openRolloutStore, type RolloutStore } from '../../../controller/database/index.ts';
import type { FleetDirectory } from '../../../operator/fleet/index.ts';
import type { DatabaseFlags } from '../../flags.ts';

/** Opens the database of rollouts, and closes it after `work`. @throws Refusal as the store */
export async function withStore<T>(
  fleet: FleetDirectory,
  { database = fleet.config.rolloutDatabase }: DatabaseFlags,
  options: { readonly isNew: boolean },
  work: (store: RolloutStore) => Promise<T>,
): Promise<T> {
  const isUrl = database.includes('://');
  const address = isUrl ? database : resolve(fleet.path, database);
  const store = await openRolloutStore(address, fleet.config.fleet, options);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
