import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type GnuPg, openGnuPg } from '../support/gnupg.ts';
import { wherry, type Run } from '../support/recording-terminal.ts';

/** Signatures by GnuPG, by key files, and from elsewhere. */

let directory: string;
let gpg: GnuPg;
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const passphrase = 'a passphrase';

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-signing-'));
  gpg = openGnuPg();
  vi.stubEnv('GNUPGHOME', gpg.home);
  for (const name of ['alice', 'bob']) {
    const fingerprint = gpg.newKey(`${name}@example.com`, 'ed25519');
    writeFileSync(at(`${name}.asc`), gpg.export(fingerprint));
    writeFileSync(at(`${name}.key`), gpg.run(['--armor', '--export-secret-keys', fingerprint]).stdout);
  }
  const locking = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
  gpg.run([...locking, '--quick-gen-key', 'locked@example.com', 'ed25519', 'sign', 'never']);
  writeFileSync(at('locked.asc'), gpg.export('locked@example.com'));
  // It enters the passphrase, and writes down what gpg tells it about the terminal.
  const pinentry = `#!/bin/sh
echo OK
while read -r line; do
  echo "$line" >>${at('pinentry.log')}
  if [ "$line" = GETPIN ]; then echo 'D ${passphrase}'; fi
  echo OK
  if [ "$line" = BYE ]; then exit; fi
done
`;
  writeFileSync(at('pinentry'), pinentry, { mode: 0o755 });
  gpg.writeFile('gpg-agent.conf', `s2k-count 65536\npinentry-program ${at('pinentry')}\n`);
  spawnSync('gpgconf', ['--kill', 'gpg-agent']); // the agent remembers the passphrase of the new key
  expect(await run('fleet', 'init', 'harbour')).toMatchObject({ status: 0 });
  const keys = ['alice', 'bob', 'locked'].flatMap((name) => ['--root-key', at(`${name}.asc`)]);
  expect(await run('trust', 'root', 'init', ...keys)).toMatchObject({ status: 0 });
  const payload = spawnSync(process.execPath, [
    '--import',
    'tsx',
    'src/cli/wherry.ts',
    '--fleet',
    at('fleet'),
    'trust',
    'root',
    'show',
    '--payload',
  ]);
  writeFileSync(at('root.bin'), payload.stdout);
});

afterAll(() => {
  spawnSync('gpgconf', ['--kill', 'gpg-agent']);
  vi.unstubAllEnvs();
  gpg.close();
  rmSync(directory, { recursive: true });
});

const sign = (...args: string[]) => run('trust', 'root', 'sign', ...args);
const bySigner = (name: string, ...options: string[]) =>
  gpg.run([...options, '--local-user', `${name}@example.com`, '--output', '-', at('root.bin')]).stdout;

describe('[C348] a signature by gpg', () => {
  it('is made at a terminal with a key that has a passphrase, without GPG_TTY', () => {
    const program = `${process.execPath} --import tsx src/cli/wherry.ts --fleet ${at('fleet')}`;
    const command = `exec ${program} trust root sign --gpg locked@example.com`;
    const { GPG_TTY: _tty, ...env } = process.env;
    const made = spawnSync('script', ['-qec', command, '/dev/null'], { env, encoding: 'utf8' });
    expect(made.stdout).toContain('signed by enough of the root keys of version 1');
    expect(readFileSync(at('pinentry.log'), 'utf8')).toMatch(/^OPTION ttyname=\/dev\//m);
  });

  it('is refused with advice where gpg has no such key', async () => {
    const refused = await sign('--gpg', 'nobody@example.com');
    expect(refused.err).toMatch(/No secret key; "gpg --list-secret-keys" lists the keys/);
    expect(refused.status).toBe(64);
  });
});

describe('[C348] a signature from elsewhere', () => {
  it('may have the line ends of other systems', async () => {
    writeFileSync(at('crlf.asc'), bySigner('bob', '--armor', '--detach-sign').replaceAll('\n', '\r\n'));
    expect(await sign('--signature', at('crlf.asc'))).toMatchObject({ status: 0 });
  });

  it.each([
    ['binary', ['--detach-sign']],
    ['of text', ['--armor', '--detach-sign', '--textmode']],
    ['clear', ['--clearsign']],
    ['with the signed bytes', ['--armor', '--sign']],
    ['of two people', ['--armor', '--detach-sign', '--local-user', 'alice@example.com']],
  ])('that is %s is refused with the name of its file', async (_what, options) => {
    writeFileSync(at('other.asc'), bySigner('bob', ...options), 'latin1');
    const refused = await sign('--signature', at('other.asc'));
    expect(refused.err).toMatch(/other\.asc: the signature is not .*\(input-invalid\)/);
    expect(refused.status).toBe(64);
  });
});

describe('[C348] a file with the keys of two people', () => {
  it.each([
    ['in one block', () => gpg.run(['--armor', '--export-secret-keys', 'alice', 'bob']).stdout],
    ['one after the other', () => ['alice', 'bob'].map((name) => readFileSync(at(`${name}.key`))).join('')],
  ])('signs nothing: %s', async (_how, content) => {
    writeFileSync(at('both.key'), content());
    const refused = await sign('--signing-key', at('both.key'));
    expect(refused.err).toMatch(/both\.key: it holds several private keys/);
    expect(refused.status).toBe(64);
  });
});
