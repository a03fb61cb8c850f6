import type * as Pg from 'pg';
import { isRefusal } from '../../core/refusal/index.ts';
import { unavailable, type Query, type Row, type Sql } from './sql.ts';

/** The key of the advisory lock that serializes transactions: the ASCII codes of 'wer'. */
const lockKey = 0x776572;

/**
 * Limits on waiting, so that a server that is cut off or another controller that hangs gets a
 * sentence. `idle` ends the transaction of a controller that is stopped or cut off, which would
 * hold the lock until TCP notices.
 */
const usualMs = { connect: 10_000, lock: 20_000, answer: 30_000, idle: 30_000 };

/**
 * A PostgreSQL database that several controllers share. The server is addressed as by libpq:
 * `postgres://host/database`, a socket by `?host=/directory`, a password in `~/.pgpass` or
 * PGPASSWORD.
 * @throws Refusal `database-unavailable`
 */
export async function openPostgres(url: string, limitsMs: typeof usualMs = usualMs): Promise<Sql> {
  const { Pool } = (await import('pg')).default;
  const what = nameOf(url);
  // Not as parameters of the connection: PgBouncer refuses those.
  const begin = `BEGIN; SET LOCAL lock_timeout = ${limitsMs.lock}; SET LOCAL idle_in_transaction_session_timeout = ${limitsMs.idle}`;
  const pool = new Pool({
    connectionString: url,
    max: 2,
    connectionTimeoutMillis: limitsMs.connect,
    query_timeout: limitsMs.answer,
  });
  // An idle connection was lost: the next transaction makes another one.
  pool.on('error', () => undefined);
  // The pool does not listen to a connection in use. Its loss also fails the statement under way,
  // or the next one.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return {
    async transaction(work) {
      let client: Pg.PoolClient | undefined;
      try {
        const connected = (client = await pool.connect());
        const query: Query = async (text, values = []) => {
          let index = 0;
          const { rows, rowCount } = await connected.query<Row>({
            text: text.replaceAll('?', () => `$${(index += 1)}`),
            values: values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value)),
          });
          return { rows, changed: rowCount ?? 0 };
        };
        await connected.query(begin);
        await query(`SELECT pg_advisory_xact_lock(${lockKey})`);
        const result = await work(query);
        await query('COMMIT');
        client.release();
        return result;
      } catch (error) {
        // Ends the connection, and with it the transaction.
        client?.release(true);
        throw refusalOf(what, error);
      }
    },
    async close() {
      await pool.end();
    },
  };
}

/** Without user and password. An address without a host is one of this machine. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url.replace('@/', '@localhost/'));
  return `${host === '' ? 'localhost' : host}${pathname}`;
}

/** Classes of SQLSTATE (PostgreSQL, appendix A) that a retry or a person may resolve. */
const mendable = /^(08|28|3D|42501|53|57|58|25006|40|55|XX)/;

function refusalOf(what: string, error: unknown): unknown {
  if (!(error instanceof Error) || isRefusal(error)) return error;
  const { code, severity } = error as { code?: unknown; severity?: unknown };
  const isOfServer = severity !== undefined && typeof code === 'string';
  // A database that was made anew, into which the tables may be restored.
  if (isOfServer && code === '42P01')
    return unavailable(what, 'has no tables of rollouts; restore them, or start a rollout', error);
  if (isOfServer && !mendable.test(code)) return error;
  if (code === '55P03')
    return unavailable(what, 'is held by another process; end it, or wait until it is done', error);
  // The driver's words, which have no code.
  if (error.message === 'Query read timeout') return unavailable(what, `gave no answer in time`, error);
  const said = error.message === '' ? String(code) : error.message;
  if (isOfServer && code.startsWith('53100'))
    return unavailable(what, 'is on a disk that is full; make room', error);
  return unavailable(what, `cannot be used: ${said}`, error);
}
