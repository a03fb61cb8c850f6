import { parse, TomlError } from 'smol-toml';
import { Refusal } from '../refusal/index.ts';

/** The `Authorization` header for a request to `url`, or undefined. */
export type Authorize = (url: URL) => string | undefined;

/**
 * Reads credentials for web servers: a table per host (with its port, unless it is the scheme's own) with `user` and `password`,
 * or `token` for a bearer (RFC 6750). They go to that host alone, so no redirect takes them along, and only over TLS unless
 * the table says `plain = true`.
 *
 * ```toml
 * ["images.example"]
 * user = "fleet"
 * password = "secret"
 * ```
 *
 * @throws Refusal `config-invalid` that names the table and the key, never a value
 */
export function parseCredentials(toml: string, file: string): Authorize {
  let tables: Record<string, unknown>;
  try {
    tables = parse(toml);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // The library's message quotes the line, which may hold the secret.
    throw new Refusal('config-invalid', `${file}: line ${cause.line} is not TOML`);
  }
  const headers = new Map(
    Object.entries(tables).map(([host, table]) => [host, credential(host, table, file)]),
  );
  return (url) => {
    const found = headers.get(url.host);
    return found !== undefined && (url.protocol === 'https:' || found.plain) ? found.header : undefined;
  };
}

const visible = /^[\x20-\x7e]+$/;

function credential(host: string, table: unknown, file: string): { header: string; plain: boolean } {
  const wrong = (problem: string) =>
    new Refusal('config-invalid', `${file}: [${JSON.stringify(host)}]: ${problem}`);
  if (typeof table !== 'object' || table === null)
    throw wrong('expected a table of user and password, or of token');
  const { user, password, token, plain = false, ...others } = table as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw wrong(`the key ${JSON.stringify(unknown)} is not known`);
  if (typeof plain !== 'boolean') throw wrong('plain: expected true or false');
  if (typeof token === 'string' && visible.test(token) && user === undefined && password === undefined) {
    return { header: `Bearer ${token}`, plain };
  }
  if (
    typeof user === 'string' &&
    visible.test(user) &&
    !user.includes(':') &&
    typeof password === 'string' &&
    visible.test(password) &&
    token === undefined
  ) {
    return { header: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, plain };
  }
  throw wrong('expected user (without a colon) and password, or token, in visible ASCII');
}
