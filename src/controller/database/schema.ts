import { numberOf, lostDatabase, type Query } from './sql.ts';

/** Version of the tables. A later version of wherry increases it and migrates older tables. */
const schemaVersion = 2;

/** What SQLite and PostgreSQL call 64-bit numbers and bytes, and how they list tables. */
const dialects = {
  sqlite: {
    number: 'INTEGER',
    bytes: 'BLOB',
    hasSchema: "SELECT 1 FROM sqlite_master WHERE name = 'wherry_schema'",
  },
  postgres: {
    number: 'BIGINT',
    bytes: 'BYTEA',
    hasSchema: "SELECT 1 WHERE to_regclass('wherry_schema') IS NOT NULL",
  },
} as const;

export type Dialect = keyof typeof dialects;

function tables(dialect: Dialect): readonly string[] {
  const { number, bytes } = dialects[dialect];
  return [
    `CREATE TABLE IF NOT EXISTS wherry_schema (version ${number} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS wherry_rollouts (
      fleet TEXT NOT NULL, id TEXT NOT NULL, created ${number} NOT NULL, expires ${number} NOT NULL,
      revision ${number} NOT NULL, phase TEXT NOT NULL, reason TEXT, approved_waves ${number} NOT NULL,
      stages TEXT NOT NULL, rules TEXT NOT NULL, PRIMARY KEY (fleet, id))`,
    `CREATE TABLE IF NOT EXISTS wherry_members (
      fleet TEXT NOT NULL, rollout TEXT NOT NULL, device TEXT NOT NULL, position ${number} NOT NULL,
      wave ${number} NOT NULL, before_version ${number} NOT NULL,
      version ${number} NOT NULL, command ${bytes} NOT NULL, sealed ${bytes}, sent ${number},
      answered ${number}, answer TEXT, code TEXT, message TEXT,
      undo_version ${number}, undo_command ${bytes}, undo_sent ${number},
      undo_answered ${number}, undo_answer TEXT, undo_code TEXT, undo_message TEXT,
      PRIMARY KEY (fleet, rollout, device))`,
  ];
}

/**
 * Makes the tables that do not exist, and migrates those of an earlier version of wherry.
 * @throws Refusal `database-unavailable` when they are of a later version of wherry
 */
export async function prepareSchema(query: Query, dialect: Dialect, what: string): Promise<void> {
  // An account that may not make tables can use those that are there.
  if ((await query(dialects[dialect].hasSchema)).rows.length === 0)
    for (const statement of tables(dialect)) await query(statement);
  const { rows } = await query('SELECT version FROM wherry_schema');
  const [row] = rows;
  if (row === undefined) {
    await query('INSERT INTO wherry_schema (version) VALUES (?)', [schemaVersion]);
    return;
  }
  const version = numberOf(row, 'version');
  if (version === 1) {
    await query(`ALTER TABLE wherry_members ADD COLUMN sealed ${dialects[dialect].bytes}`);
    await query('UPDATE wherry_schema SET version = 2');
  }
  requireKnown(version, what);
}

/**
 * Refuses tables that a later version of wherry has migrated since this process opened them: its
 * rows would lack what the later version needs. Each transaction begins with it.
 * @throws Refusal `database-unavailable`
 */
export async function requireSchema(query: Query, what: string): Promise<void> {
  const { rows } = await query('SELECT version FROM wherry_schema');
  const [row] = rows;
  if (row !== undefined) requireKnown(numberOf(row, 'version'), what);
}

function requireKnown(version: number, what: string): void {
  if (version <= schemaVersion) return;
  throw lostDatabase(
    what,
    `is of a later version of wherry (schema ${version}; this one knows ${schemaVersion}); upgrade wherry here`,
  );
}
