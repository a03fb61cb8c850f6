import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const script = path.join(import.meta.dirname, '../../cross/prepare.sh');

/**
 * The answer of a package query: all packages that the script requests, except those in $MISSING.
 */
const dpkgQuery = `shift 3
for name in "$@"; do case " $MISSING " in *" $name "*) ;; *) echo "installed $name" ;; esac; done`;

/**
 * Replacements for the programs that the script calls. Each call that changes the machine appends a
 * line to `calls`.
 */
const programs: Readonly<Record<string, string>> = {
  node: `case "$1" in --version) echo "$NODE_VERSION" ;; *) exec "$REAL_NODE" "$@" ;; esac`,
  npm: `echo "npm $*" >>calls; mkdir -p node_modules/sd-notify node_modules/systemd-journald; touch node_modules/.package-lock.json; echo added 1 package`,
  'dpkg-query': dpkgQuery,
  dpkg: `echo "$DEB_ARCH"`,
  id: `echo "$USER_ID"`,
  'apt-get': `echo "apt-get $*" >>calls; echo Reading package lists`,
  systemctl: `echo "systemctl $*" >>calls`,
};

describe('prepare.sh', () => {
  let directory: string;

  const place = async (name: string, text: string) => {
    const file = path.join(directory, 'bin', name);
    await writeFile(file, `#!/bin/sh\n${text}\n`);
    await chmod(file, 0o755);
  };

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'wherry-prepare-'));
    await mkdir(path.join(directory, 'bin'));
    await mkdir(path.join(directory, 'cross'));
    await copyFile(script, path.join(directory, 'cross/prepare.sh'));
    await writeFile(path.join(directory, 'package-lock.json'), '{}');
    for (const [name, text] of Object.entries(programs)) await place(name, text);
    // The only programs of the machine that the script can use; there is no sudo.
    for (const name of ['dirname', 'cksum', 'cat', 'find', 'env', 'mkdir', 'touch', 'sh']) {
      await place(name, `for d in /usr/bin /bin; do [ -x $d/${name} ] && exec $d/${name} "$@"; done`);
    }
  });

  afterEach(() => rm(directory, { recursive: true }));

  const prepare = (env: Readonly<Record<string, string>> = {}) =>
    new Promise<{ status: number; stdout: string; stderr: string; calls: string[] }>((resolve) => {
      const defaults = {
        PATH: path.join(directory, 'bin'),
        REAL_NODE: process.execPath,
        NODE_VERSION: process.version,
        DEB_ARCH: 'amd64',
        USER_ID: '0',
        MISSING: '',
      };
      const child = execFile(
        '/bin/sh',
        [path.join(directory, 'cross/prepare.sh')],
        { env: { ...defaults, ...env } },
        (_error, stdout, stderr) => {
          readFile(path.join(directory, 'calls'), 'utf8')
            .catch(() => '')
            .then(
              (calls) => {
                const lines = calls.split('\n').filter(Boolean);
                resolve({ status: child.exitCode ?? -1, stdout, stderr, calls: lines });
              },
              () => undefined,
            );
        },
      );
    });

  it('installs the npm packages of a fresh clone once, without running their scripts', async () => {
    const first = await prepare();
    expect(first.calls).toEqual(['npm ci --ignore-scripts']);
    expect(first.status).toBe(0);
    const second = await prepare();
    expect(second.calls).toEqual(first.calls);
    expect(second.stderr).toBe('');
  });

  it('installs npm packages again when the lock file changed', async () => {
    await prepare();
    await writeFile(path.join(directory, 'package-lock.json'), '{"changed":true}');
    const later = new Date(Date.now() + 60_000);
    await utimes(path.join(directory, 'package-lock.json'), later, later);
    expect((await prepare()).calls).toHaveLength(2);
  });

  it('accepts npm packages of the user, if the sources of the native modules are there', async () => {
    for (const name of ['sd-notify', 'systemd-journald']) {
      await mkdir(path.join(directory, 'node_modules', name), { recursive: true });
    }
    await writeFile(path.join(directory, 'node_modules/.package-lock.json'), '{}');
    expect((await prepare()).calls).toEqual([]);
    await rm(path.join(directory, 'node_modules/sd-notify'), { recursive: true });
    expect((await prepare()).calls).toEqual(['npm ci --ignore-scripts']);
  });

  it('installs the Debian packages that are missing, and only those', async () => {
    const { status, calls } = await prepare({ MISSING: 'nbdkit g++-arm-linux-gnueabihf' });
    expect(calls.slice(0, 2)).toEqual([
      'apt-get update -q',
      'apt-get install -q -y --no-install-recommends nbdkit g++-arm-linux-gnueabihf',
    ]);
    expect(status).toBe(0);
  });

  it.each(['mosquitto', 'nginx', 'tinyproxy', 'docker-registry', 'postgresql'])(
    'disables a service that it installed: %s',
    async (name) => {
      const { calls } = await prepare({ MISSING: name });
      expect(calls).toContain(`systemctl disable --now ${name}.service`);
    },
  );

  it('uses sudo if the user is not root', async () => {
    await place('sudo', 'echo "sudo $*" >>calls');
    const { calls } = await prepare({ USER_ID: '1000', MISSING: 'nbdkit' });
    expect(calls).toContain(
      'sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nbdkit',
    );
  });

  it('installs the foreign compiler on an arm64 machine', async () => {
    const { calls } = await prepare({
      DEB_ARCH: 'arm64',
      MISSING: 'g++-x86-64-linux-gnu g++-aarch64-linux-gnu',
    });
    expect(calls[1]).toBe('apt-get install -q -y --no-install-recommends g++-x86-64-linux-gnu');
  });

  it.each([
    [
      { USER_ID: '1000', MISSING: 'nbdkit' },
      'These Debian packages are missing and need root or sudo to install: nbdkit',
    ],
    [
      { DEB_ARCH: 'riscv64' },
      'Machines of the architecture riscv64 cannot build wherry; use amd64 or arm64.',
    ],
  ])('reports in one message what is missing, and changes nothing: %o', async (env, sentence) => {
    const { status, stderr, calls } = await prepare(env);
    expect(stderr).toBe(`prepare: ${sentence}\n`);
    expect(status).toBe(1);
    expect(calls).toEqual([]);
  });

  it('reports that Node is too old', async () => {
    await place('node', `case "$1" in --version) echo v18.20.4 ;; *) exit 1 ;; esac`);
    const { status, stderr } = await prepare();
    expect(stderr).toBe('prepare: Node v18.20.4 is too old; install Node 20.19 or newer.\n');
    expect(status).toBe(1);
  });

  it('reports a system that is not Debian', async () => {
    await rm(path.join(directory, 'bin/apt-get'));
    const { status, stderr } = await prepare();
    expect(stderr).toContain('This is not a Debian system');
    expect(status).toBe(1);
  });

  it('writes nothing to standard output', async () => {
    expect((await prepare({ MISSING: 'nbdkit' })).stdout).toBe('');
  });

  it('can be skipped', async () => {
    const { status, calls } = await prepare({ WHERRY_SKIP_PREPARE: '1', MISSING: 'nbdkit' });
    expect(calls).toEqual([]);
    expect(status).toBe(0);
  });
});
