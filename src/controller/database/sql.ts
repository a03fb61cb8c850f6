import { Refusal } from '../../core/refusal/index.ts';

export type SqlValue = string | number | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement; the values replace the question marks in its text. */
export type Query = (text: string, values?: readonly SqlValue[]) => Promise<QueryResult>;

export interface QueryResult {
  readonly rows: readonly Row[];
  /** Rows that were changed. */
  readonly changed: number;
}

/**
 * A database with the SQL that SQLite and PostgreSQL have in common. A failure of the database is a
 * Refusal `database-unavailable`, and the transaction has no effect.
 */
export interface Sql {
  /**
   * Runs `work` in a transaction that excludes other writers. When this resolves, it is committed
   * to the disk.
   */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** @param what names the database, without secrets */
export function unavailable(what: string, problem: string, cause?: unknown): Refusal {
  return new Refusal('database-unavailable', `the database ${what} ${problem}`, { cause });
}

/**
 * A database that this process cannot use again. The command must be started again, perhaps of a
 * later version of wherry; a retry is of no use.
 */
export class DatabaseLost extends Refusal {}

/** @param what as of `unavailable` */
export function lostDatabase(what: string, problem: string): Refusal {
  return new DatabaseLost('database-unavailable', `the database ${what} ${problem}`);
}

/** PostgreSQL's driver returns 64-bit numbers as text; those of wherry are below 2^53. */
export function numberOf(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === 'string' && /^\d{1,16}$/.test(value)) return Number(value);
  if (typeof value !== 'number') throw new Error(`${column} is not a number`);
  return value;
}

export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new Error(`${column} is not a text`);
  return value;
}

/** SQLite's driver returns an ArrayBuffer, that of PostgreSQL a Buffer. */
export function bytesOf(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new Error(`${column} has no bytes`);
}
