import { openPostgres } from './postgres.ts';
import { RolloutStore } from './rollout-store.ts';
import { prepareSchema, requireSchema, type Dialect } from './schema.ts';
import type { Sql } from './sql.ts';
import { openSqlite } from './sqlite.ts';

/**
 * Opens the rollouts of a fleet.
 * @param address `postgres://…`, or the path of a SQLite file
 * @param options.isNew makes the SQLite file when there is none
 * @throws Refusal `database-unavailable`, `device-unsupported` where the driver is not installed
 */
export async function openRolloutStore(
  address: string,
  fleet: string,
  options: { readonly isNew: boolean },
): Promise<RolloutStore> {
  const isPostgres = /^postgres(ql)?:\/\//.test(address);
  const dialect: Dialect = isPostgres ? 'postgres' : 'sqlite';
  const sql: Sql = isPostgres ? await openPostgres(address) : await openSqlite(address, options.isNew);
  const what = isPostgres ? 'of rollouts' : address;
  try {
    await sql.transaction((query) => prepareSchema(query, dialect, what));
  } catch (error) {
    await sql.close();
    throw error;
  }
  const checked: Sql = {
    transaction: (work) =>
      sql.transaction(async (query) => {
        await requireSchema(query, what);
        return await work(query);
      }),
    close: () => sql.close(),
  };
  return new RolloutStore(checked, fleet);
}
