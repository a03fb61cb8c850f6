import { parse, TomlError } from 'smol-toml';
import { Refusal } from '../../core/refusal/index.ts';
import { Credentials, type Credential } from './credentials.ts';

/**
 * Reads credentials: a table per web server (its host, with the port unless it is the scheme's own)
 * with `user` and `password`, or `token` for a bearer (RFC 6750), and `plain = true` if they may go
 * without TLS; and a table per proxy (its address without a path) with `user` and `password`.
 *
 * ```toml
 * ["images.example"]
 * token = "secret"
 *
 * ["http://proxy.example:3128"]
 * user = "fleet"
 * password = "secret"
 * ```
 *
 * @param file the name of the file in messages
 * @throws Refusal `config-invalid` that names the table and the key, never a value
 */
export function parseCredentials(toml: string, file: string): Credentials {
  let tables: Record<string, unknown>;
  try {
    tables = parse(toml);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // The library's message quotes the line, which may contain the secret, so it is not a cause
    // either.
    throw new Refusal('config-invalid', `${file}: line ${cause.line} is not TOML`);
  }
  return new Credentials(
    file,
    new Map(
      Object.entries(tables).map(([name, table]) => {
        const wrong = (problem: string) =>
          new Refusal('config-invalid', `${file}: [${JSON.stringify(name)}]: ${problem}`);
        if (typeof table !== 'object' || table === null)
          throw wrong('expected a table of user and password, or of token');
        const fields = table as Record<string, unknown>;
        return name.includes('://')
          ? [proxyOrigin(name, wrong), proxyCredential(fields, wrong)]
          : [name, serverCredential(fields, wrong)];
      }),
    ),
  );
}

type Wrong = (problem: string) => Refusal;

const visible = /^[\x20-\x7e]+$/;

function serverCredential(fields: Record<string, unknown>, wrong: Wrong): Credential {
  const { user, password, token, plain = false, ...others } = fields;
  refuseLeftovers(others, wrong);
  if (typeof plain !== 'boolean') throw wrong('plain: expected true or false');
  if (typeof token === 'string' && visible.test(token) && user === undefined && password === undefined) {
    return { header: `Bearer ${token}`, plain };
  }
  const header = token === undefined ? basic(user, password) : undefined;
  if (header !== undefined) return { header, plain };
  throw wrong('expected user (without a colon) and password, or token, in visible ASCII');
}

function proxyCredential(fields: Record<string, unknown>, wrong: Wrong): Credential {
  const { user, password, ...others } = fields;
  refuseLeftovers(others, wrong);
  const header = basic(user, password);
  if (header === undefined)
    throw wrong('expected user (without a colon) and password, in visible ASCII, for a proxy');
  return { header, plain: true };
}

function proxyOrigin(name: string, wrong: Wrong): string {
  const url = URL.canParse(name) ? new URL(name) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`)
    throw wrong('expected a host, or a proxy such as http://proxy.example:3128');
  return url.origin;
}

/** RFC 7617. */
function basic(user: unknown, password: unknown): string | undefined {
  if (typeof user !== 'string' || !visible.test(user) || user.includes(':')) return undefined;
  if (typeof password !== 'string' || !visible.test(password)) return undefined;
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function refuseLeftovers(others: Record<string, unknown>, wrong: Wrong): void {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw wrong(`the key ${JSON.stringify(unknown)} is not known`);
}
