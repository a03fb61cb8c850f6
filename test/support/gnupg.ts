import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Real GnuPG with its own home directory. */
export interface GnuPg {
  readonly home: string;
  /**
   * Generates a key without a passphrase and returns its fingerprint, upper-case hex. `at` is a
   * time like 20200101T000000.
   */
  newKey(
    name: string,
    algorithm: string,
    options?: { usage?: string; expires?: string; at?: string },
  ): string;
  export(fingerprint: string): string;
  /** An armored detached signature over `data`, or over the file at that path. */
  sign(data: Uint8Array | string, fingerprint: string, ...options: string[]): string;
  run(args: readonly string[], input?: Uint8Array | string): { stdout: string; status: string };
  writeFile(name: string, content: Uint8Array | string): string;
  revoke(fingerprint: string): void;
  close(): void;
}

/**
 * A GnuPG home in the temporary directory. Its path is short, because it contains the agent's
 * socket.
 */
export function openGnuPg(): GnuPg {
  const home = mkdtempSync(join(tmpdir(), 'gpg-'));
  const run = (args: readonly string[], input?: Uint8Array | string): { stdout: string; status: string } => {
    const statusFile = join(home, 'status');
    const stdout = execFileSync(
      'gpg',
      ['--homedir', home, '--batch', '--yes', '--no-tty', '--quiet', '--status-file', statusFile, ...args],
      { input, stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: 1 << 24 },
    ).toString('latin1');
    return { stdout, status: readFileSync(statusFile, 'utf8') };
  };
  const writeFile = (name: string, content: Uint8Array | string): string => {
    const path = join(home, name);
    writeFileSync(path, content);
    return path;
  };
  // Otherwise the agent spends seconds on calibrating its key derivation.
  writeFile('gpg-agent.conf', 's2k-count 65536\n');
  return {
    home,
    run,
    writeFile,
    newKey: (name, algorithm, { usage = 'sign', expires = 'never', at } = {}) => {
      const time = at === undefined ? [] : ['--faked-system-time', `${at}!`];
      const arguments_ = ['--passphrase', '', '--quick-gen-key', name, algorithm, usage, expires];
      const created = /KEY_CREATED \w ([0-9A-F]{40})/.exec(run([...time, ...arguments_]).status);
      if (created?.[1] === undefined) throw new Error(`GnuPG made no key for ${name}`);
      return created[1];
    },
    export: (fingerprint) => run(['--armor', '--export', fingerprint]).stdout,
    sign: (data, fingerprint, ...options) => {
      const path = typeof data === 'string' ? data : writeFile('data', data);
      const target = ['--output', '-', '--armor', '--local-user', `${fingerprint}!`, ...options];
      return run([...target, '--detach-sign', path]).stdout;
    },
    revoke: (fingerprint) => {
      // GnuPG prepares the certificate with the key and puts a colon before it, which prevents an
      // accidental import.
      const certificate = readFileSync(join(home, 'openpgp-revocs.d', `${fingerprint}.rev`), 'utf8');
      run(['--import', writeFile('revocation', certificate.replace(':-----BEGIN', '-----BEGIN'))]);
    },
    close: () => {
      execFileSync('gpgconf', ['--homedir', home, '--kill', 'all'], { stdio: 'ignore' });
      rmSync(home, { recursive: true, force: true });
    },
  };
}
