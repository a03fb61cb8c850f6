import { isAcName, parseJson, SchemaFault } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { NewLock } from './locks.ts';

/** Reads the body and the parameters of a request, which are checked before anything is done. */

const maxLines = 1000;
const maxLockSeconds = 30 * 86_400;

/** @throws Refusal `input-invalid` */
export function bodyOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes, { maxBytes: bytes.length, maxDepth: 8, maxValues: 64 });
  } catch (cause) {
    if (!(cause instanceof SchemaFault)) throw cause;
    throw new Refusal('input-invalid', `the body is not JSON as expected: ${cause.message}`, { cause });
  }
}

/** @throws Refusal `input-invalid` */
export function askedLock(body: unknown, nowSeconds: number): NewLock {
  const { reason, seconds, keep } = fieldsOf(body, ['reason', 'seconds', 'keep']);
  if (typeof reason !== 'string') throw invalid('reason takes text');
  if (keep !== undefined && typeof keep !== 'boolean') throw invalid('keep takes true or false');
  const expires = nowSeconds + wholeNumber('seconds', seconds, maxLockSeconds);
  return { reason, expires, keep: keep === true };
}

export interface AskedLog {
  readonly pod: string;
  readonly lines: number;
  readonly follow: boolean;
  readonly app?: string;
  readonly since?: string;
}

/** @throws Refusal `input-invalid` */
export function askedLog(query: URLSearchParams, pod: string): AskedLog {
  refuseOtherParameters(query, ['app', 'lines', 'since', 'follow']);
  const [app, since] = [query.get('app') ?? undefined, query.get('since') ?? undefined];
  const follow = trueOrFalse('follow', query.get('follow') ?? 'false');
  const lines = wholeNumber('lines', decimal(query.get('lines') ?? '100'), maxLines, 0);
  // It becomes an argument of a command line, which cannot contain a NUL byte.
  if (since?.includes('\0') === true) throw invalid('since takes a time as journalctl knows it');
  return {
    ...{ pod, lines, follow },
    ...(app === undefined ? {} : { app }),
    ...(since === undefined ? {} : { since }),
  };
}

/** @throws Refusal `input-invalid` */
export function askedCommand(query: URLSearchParams): readonly string[] {
  refuseOtherParameters(query, ['arg']);
  const command = query.getAll('arg');
  if ((command[0] ?? '') === '' || command.some((word) => word.includes('\0')))
    throw invalid('arg takes the program, and again each of its arguments');
  return command;
}

/** @throws Refusal `input-invalid` */
export function askedApproval(
  query: URLSearchParams,
  text: string,
): { readonly version: number; readonly group?: string } {
  refuseOtherParameters(query, ['group']);
  const version = wholeNumber('the version', decimal(text), Number.MAX_SAFE_INTEGER);
  const group = query.get('group') ?? undefined;
  return group === undefined ? { version } : { version, group };
}

/** The names in a path where the pattern has `*`; undefined if they do not match. */
export function namesOf(pattern: readonly string[], path: string): readonly string[] | undefined {
  const parts = path.split('/');
  // A name in a path is an AC Name or a number, so it is never percent-encoded.
  const isMatch =
    pattern.length === parts.length &&
    pattern.every((one, at) => one === parts[at] || (one === '*' && isAcName(parts[at] ?? '')));
  return isMatch ? parts.filter((_, at) => pattern[at] === '*') : undefined;
}

function fieldsOf(value: unknown, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('expected a JSON object');
  const other = Object.keys(value).find((key) => !allowed.includes(key));
  if (other !== undefined)
    throw invalid(`there is no field ${JSON.stringify(other.slice(0, 80))}; fields: ${allowed.join(', ')}`);
  return value as Record<string, unknown>;
}

/** @throws Refusal `input-invalid`, also for a parameter that is there twice, except `arg` */
export function refuseOtherParameters(query: URLSearchParams, allowed: readonly string[]): void {
  const keys = [...query.keys()];
  const other = keys.find((key) => !allowed.includes(key));
  if (other !== undefined)
    throw invalid(
      `there is no parameter ${JSON.stringify(other.slice(0, 80))}; parameters: ${allowed.join(', ') || 'none'}`,
    );
  const twice = keys.find((key, index) => key !== 'arg' && keys.indexOf(key) !== index);
  if (twice !== undefined) throw invalid(`the parameter ${twice} is there twice`);
}

function trueOrFalse(what: string, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw invalid(`${what} takes true or false`);
  return text === 'true';
}

/** Without the other forms that JavaScript knows, such as `1e3`. */
function decimal(text: string): number {
  return /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
}

function wholeNumber(what: string, value: unknown, max: number, min = 1): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max)
    throw invalid(`${what} takes a whole number from ${min} to ${max}`);
  return value;
}

function invalid(message: string): Refusal {
  return new Refusal('input-invalid', message);
}
