import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { writeDeb, type DebianPackage } from '../../cross/deb.ts';
import { operatorTree, packageTree } from '../../cross/package-tree.ts';
import { targets } from '../../cross/targets.ts';
import { parseConfig } from '../../src/device/agent/config.ts';

const run = promisify(execFile);
const root = path.join(import.meta.dirname, '../..');
const epochSeconds = 1_700_000_000;

/**
 * The package with programs and addons of a few bytes. Board tests build and load the real ones.
 */
async function smallPackage(directory: string, target = targets.armhf): Promise<DebianPackage> {
  const addons = path.join(directory, 'addons');
  await mkdir(addons, { recursive: true });
  await writeFile(path.join(addons, 'journald-abi115.node'), 'ELF');
  return packageTree({
    root,
    version: '1.2.3',
    target,
    programs: new Map([['wherryd.js', Buffer.from('// program')]]),
    addons,
    copyright: 'licences\n',
  });
}

describe('a package', () => {
  let directory: string;
  let contents: DebianPackage;
  let deb: string;

  const build = async (name: string) => {
    const work = path.join(directory, `${name}.work`);
    await mkdir(work);
    await writeDeb(contents, path.join(directory, name), work, epochSeconds);
    return path.join(directory, name);
  };
  const field = async (name: string) => (await run('dpkg-deb', ['-f', deb, name])).stdout.trim();

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'wherry-deb-'));
    contents = await smallPackage(directory);
    deb = await build('first.deb');
  });

  afterAll(() => rm(directory, { recursive: true }));

  it('has the same bytes when built again, whatever the umask', async () => {
    const umask = process.umask(0o077);
    try {
      expect(await readFile(await build('second.deb'))).toEqual(await readFile(deb));
    } finally {
      process.umask(umask);
    }
  });

  it('belongs to root, and all its times are the build time', async () => {
    const { stdout } = await run('dpkg-deb', ['-c', deb], { env: { ...process.env, TZ: 'UTC' } });
    for (const line of stdout.trim().split('\n')) {
      expect(line).toMatch(/^[-dl][rwx-]{9} root\/root +\d+ 2023-11-14 22:13 \.\//);
    }
  });

  it('contains exactly these files', async () => {
    const { stdout } = await run('dpkg-deb', ['-c', deb]);
    const files = stdout
      .trim()
      .split('\n')
      .map((line) => `${line.slice(0, 10)} ${/ \.(\/.*)$/.exec(line)?.[1] ?? ''}`)
      .filter((line) => line.startsWith('-') || line.includes('/etc/'));
    expect(files).toEqual([
      'drwxr-xr-x /etc/',
      'drwxr-xr-x /etc/wherry/',
      'drwxr-xr-x /etc/wherry/trust/',
      '-rwxr-xr-x /usr/bin/wherry',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-api.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-api.socket',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-clock.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-clock.timer',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-examine.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-exec@.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-floor.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-metadata-proxy@.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-metadata.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-metadata.socket',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-pull@.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-render@.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-seal.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-snapshot.path',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-snapshot.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherry-volume.service',
      '-rw-r--r-- /usr/lib/systemd/system/wherryd.service',
      '-rw-r--r-- /usr/lib/sysusers.d/wherry.conf',
      '-rw-r--r-- /usr/lib/tmpfiles.d/wherry.conf',
      '-rw-r--r-- /usr/lib/wherry/addons/journald-abi115.node',
      '-rwxr-xr-x /usr/lib/wherry/attach-network',
      '-rwxr-xr-x /usr/lib/wherry/make-volume',
      '-rw-r--r-- /usr/lib/wherry/package.json',
      '-rwxr-xr-x /usr/lib/wherry/run-in-app',
      '-rwxr-xr-x /usr/lib/wherry/seal-secrets',
      '-rwxr-xr-x /usr/lib/wherry/snapshot',
      '-rw-r--r-- /usr/lib/wherry/wherryd.js',
      '-rw-r--r-- /usr/share/doc/wherry/copyright',
      '-rw-r--r-- /usr/share/doc/wherry/examples/wherry.toml',
      '-rw-r--r-- /usr/share/man/man1/wherry.1.gz',
      '-rw-r--r-- /usr/share/man/man5/wherry.toml.5.gz',
      '-rw-r--r-- /usr/share/man/man8/wherryd.8.gz',
    ]);
  });

  it('contains its shell scripts without comments, otherwise unchanged', async () => {
    const packaged = new Map(contents.entries.map((entry) => [entry.path, entry]));
    for (const name of ['attach-network', 'make-volume', 'run-in-app', 'seal-secrets', 'snapshot']) {
      const entry = packaged.get(`usr/lib/wherry/${name}`);
      if (entry?.type !== 'file') throw new Error(`${name} is not a file of the package`);
      const source = await readFile(path.join(root, 'cross/debian', name), 'utf8');
      const lines = source.split('\n').filter((line) => !/^\s*# /.test(line));
      expect(entry.content).toBe(lines.join('\n'));
      expect(entry.content).toMatch(/^#!\/bin\/sh\n/);
    }
  });

  it('tests for 32-bit programs on ARMv8 only', async () => {
    const paths = async (arch: 'arm64' | 'armhf') =>
      (await smallPackage(directory, targets[arch])).entries.map((entry) => entry.path);
    const [arm64, armhf] = [await paths('arm64'), await paths('armhf')];
    expect(arm64.filter((one) => !armhf.includes(one))).toEqual([
      'usr/lib/systemd/system/wherry-arm32.service',
    ]);
  });

  it('has a description and its dependencies', async () => {
    expect(await field('Package')).toBe('wherry');
    expect(await field('Version')).toBe('1.2.3');
    expect(await field('Architecture')).toBe('armhf');
    const depends = await field('Depends');
    for (const need of [
      'nodejs (>= 20.19~)',
      'crun',
      'erofs-utils (>= 1.8)',
      'systemd (>= 254)',
      'libsystemd0',
    ]) {
      expect(depends.split(', ')).toContain(need);
    }
    // apt would install recommended packages on every device.
    expect(await field('Recommends')).not.toContain('wherry-operator');
    expect(await field('Suggests')).toBe('wherry-operator');
  });

  it('has a checksum for each of its files', async () => {
    const { stdout } = await run('dpkg-deb', ['-I', deb, 'md5sums']);
    const program = createHash('md5').update('// program').digest('hex');
    expect(stdout).toContain(`${program}  usr/lib/wherry/wherryd.js\n`);
  });
});

describe('the package of operators', () => {
  const contents = operatorTree({
    root,
    version: '1.2.3',
    target: targets.armhf,
    programs: new Map([['operator-ABCDEFGH.js', Buffer.from('// program')]]),
    sqlite: { npmPackage: '@libsql/linux-arm-gnueabihf', bytes: Buffer.from('ELF') },
    copyright: 'licences\n',
  });

  it('is for an architecture, and depends on the same version of the other package', async () => {
    expect((await contents).control).toMatchObject({
      Package: 'wherry-operator',
      Version: '1.2.3',
      Architecture: 'armhf',
      Depends: 'wherry (= 1.2.3), libgcc-s1',
    });
  });

  it('has no file of the other package, and no service', async () => {
    const { entries, scripts } = await contents;
    expect(scripts).toEqual({});
    expect(entries.map((entry) => entry.path)).toEqual([
      'usr/lib/wherry/operator-ABCDEFGH.js',
      'usr/lib/wherry/node_modules/@libsql/linux-arm-gnueabihf/index.node',
      'usr/share/doc/wherry-operator/copyright',
      'usr/share/doc/wherry-operator/changelog.gz',
      'usr/share/man/man1/wherry-operator.1.gz',
    ]);
  });
});

describe('the documentation in the package', () => {
  const manual = (file: string) => readFile(path.join(root, 'docs/man', file), 'utf8');

  it('has an example configuration that wherryd accepts, also with its comments uncommented', async () => {
    const example = await readFile(path.join(root, 'cross/debian/wherry.toml'), 'utf8');
    const asWritten = parseConfig(example);
    expect(asWritten.device).toBe('gate-17');
    const allDefaults = parseConfig(example.replaceAll(/^# (?=\w+ = )/gm, ''));
    // The examples of a broker, a proxy, groups and labels are not defaults.
    const others = {
      ...{ broker: undefined, download: undefined, api: undefined },
      ...{ groups: undefined, labels: undefined },
    };
    expect({ ...allDefaults, ...others }).toEqual({ ...asWritten, ...others });
    expect(allDefaults.broker).toMatchObject(asWritten.broker);
    expect(allDefaults.download).toMatchObject(asWritten.download);
  });

  it('explains every key of the example', async () => {
    const example = await readFile(path.join(root, 'cross/debian/wherry.toml'), 'utf8');
    const text = await manual('wherry.toml.5');
    const keys = [...example.matchAll(/^(?:# )?(\w+) = /gm)].map(([, key]) => key);
    expect(keys.length).toBeGreaterThan(10);
    for (const key of keys) expect(text).toMatch(new RegExp(`^\\.It Cm (\\w+ , )*${key}\\b`, 'm'));
  });
});
