import { statSync, type Stats } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type Database from 'libsql';
import { asLocalRefusal, isRefusal, Refusal } from '../../core/refusal/index.ts';
import { lostDatabase, unavailable, type Query, type Row, type Sql, type SqlValue } from './sql.ts';

/**
 * How long others may lock the database before it is unavailable, and the pause between two
 * attempts.
 */
const busyMs = { most: 5_000, between: 20 };

/** What to do about an error of SQLite, by its result code (https://sqlite.org/rescode.html). */
const problems: Readonly<Record<string, string>> = {
  SQLITE_FULL: 'is on a disk that is full; make room',
  SQLITE_BUSY: 'is held by another process; end it, or wait until it is done',
  SQLITE_READONLY: 'cannot be written; check its owner and the mode of its directory',
  SQLITE_NOTADB: 'is not a SQLite database; move the file away, or name another one',
  SQLITE_CORRUPT: 'is damaged; restore it, or start a new one',
};

/**
 * A SQLite file. Each commit is on the disk before the transaction resolves (`synchronous = FULL`);
 * the kernel drops the locks of a process that is killed.
 * @param isNew makes a missing file; otherwise a missing or empty file is refused
 * @throws Refusal `database-unavailable`
 */
export async function openSqlite(path: string, isNew: boolean): Promise<Sql> {
  const Driver = await loadDriver();
  if (!isNew) fileOf(path);
  const database = openFile(Driver, path);
  if (!isNew && !hasTables(database, path)) {
    database.close();
    throw unavailable(path, 'is empty; restore the file, or start a rollout, which makes a new one');
  }
  const opened = fileOf(path);
  let last: Promise<unknown> = Promise.resolve();
  const query: Query = (text, values = []) => Promise.resolve(run(database, text, values));
  return {
    transaction(work) {
      // One connection: a second transaction would be part of the first.
      const next = last.then(async () => {
        // SQLite would continue to write to a file that was deleted or replaced, and the data would
        // be lost.
        if (fileOf(path).ino !== opened.ino)
          throw lostDatabase(path, 'was replaced; start this command again');
        try {
          await begin(database);
          const result = await work(query);
          database.exec('COMMIT');
          return result;
        } catch (error) {
          if (database.inTransaction) database.exec('ROLLBACK');
          throw refusalOf(path, error);
        }
      });
      last = next.catch(() => undefined);
      return next;
    },
    async close() {
      await last;
      // The driver leaves commits in the file beside it (-wal), and a copy of the one file would
      // lack them.
      try {
        database.pragma('wal_checkpoint(TRUNCATE)');
      } catch {
        // Another process has it open, and does this when it closes it.
      }
      database.close();
    },
  };
}

/** SQLite's own wait would block the whole process. */
async function begin(database: Database.Database): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += busyMs.between) {
    try {
      database.exec('BEGIN IMMEDIATE');
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'SQLITE_BUSY' || waitedMs >= busyMs.most) throw error;
    }
    await sleep(busyMs.between);
  }
}

function run(database: Database.Database, text: string, values: readonly SqlValue[]) {
  const statement = database.prepare(text);
  const bound = values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value));
  if (statement.reader) return { rows: statement.all(...bound) as Row[], changed: 0 };
  return { rows: [], changed: statement.run(...bound).changes };
}

function openFile(Driver: typeof Database, path: string): Database.Database {
  let database: Database.Database | undefined;
  try {
    database = new Driver(path);
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    return database;
  } catch (error) {
    database?.close();
    throw refusalOf(path, error);
  }
}

/** False for a file that was truncated, or copied without its -wal. */
function hasTables(database: Database.Database, path: string): boolean {
  try {
    return run(database, 'SELECT 1 FROM sqlite_master LIMIT 1', []).rows.length > 0;
  } catch (error) {
    throw refusalOf(path, error);
  }
}

/** @throws Refusal `database-unavailable` when there is no such file */
function fileOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw refusalOf(path, error);
    throw unavailable(
      path,
      'is not there; restore the file, or start a rollout, which makes a new one',
      error,
    );
  }
}

function refusalOf(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || isRefusal(error)) return error;
  const code = (error as { code?: unknown }).code;
  const known = typeof code === 'string' ? problems[code.split('_').slice(0, 2).join('_')] : undefined;
  if (known !== undefined) return unavailable(path, known, error);
  if (typeof code === 'string' && /^SQLITE_(CANTOPEN|IOERR|PERM|PROTOCOL|LOCKED)/.test(code))
    return unavailable(path, `cannot be used: ${error.message}`, error);
  // The driver has no code for a file that cannot be opened.
  if (error.message.startsWith('ConnectionFailed'))
    return unavailable(path, 'cannot be opened; check that its directory exists and can be written', error);
  const local = asLocalRefusal(error, path);
  return local instanceof Refusal ? unavailable(path, `cannot be used: ${local.message}`, error) : error;
}

/** Its native library may be missing or damaged. @throws Refusal `device-unsupported` */
async function loadDriver(): Promise<typeof Database> {
  try {
    return (await import('libsql')).default;
  } catch (cause) {
    const [reason = ''] = String(cause instanceof Error ? cause.message : cause).split('\n');
    throw new Refusal(
      'device-unsupported',
      `the driver of SQLite (libsql) cannot be loaded: ${reason}; reinstall the package wherry-operator (in a source checkout: npm ci), or use PostgreSQL on an architecture without it`,
      { cause },
    );
  }
}
