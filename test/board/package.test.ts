import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltPackage, DebianArch } from '../../cross/index.ts';
import { allArchs, buildPackages, cacheRoot, targets } from '../../cross/index.ts';
import { sqliteLibrary } from '../../cross/sqlite-library.ts';
import type { Board } from '../../qemu/index.ts';
import { startBoard } from '../../qemu/index.ts';
import { openRolloutStore } from '../../src/controller/database/index.ts';
import { rolloutOf } from '../controller/rollout/model.ts';
import { everyRelease, itOnce } from './board-choice.ts';

const run = promisify(execFile);
const root = path.join(import.meta.dirname, '../..');
const machines = { arm64: 'AArch64', armhf: 'ARM', amd64: 'Advanced Micro Devices X86-64' };

/** The libraries that a file for `arch` needs. */
async function librariesOf(file: string, arch: DebianArch): Promise<readonly string[]> {
  const { stdout } = await run('readelf', ['-hd', file], { env: { ...process.env, LC_ALL: 'C' } });
  expect(stdout).toMatch(new RegExp(`Class: +ELF${targets[arch].elf.bits}\\n`));
  expect(stdout).toMatch(new RegExp(`Machine: +${machines[arch]}\\n`));
  return [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, library = '']) => library);
}

/** The package before it was split into two, with the programs of both. @returns the .deb */
async function onePackage(device: string, operator: string, directory: string): Promise<string> {
  const tree = path.join(directory, 'tree');
  await run('dpkg-deb', ['-R', device, tree]);
  const programs = 'usr/lib/wherry';
  await run('dpkg-deb', ['-x', operator, path.join(directory, 'operator')]);
  for (const name of await readdir(path.join(directory, 'operator', programs))) {
    if (!name.startsWith('operator-')) continue;
    const from = path.join(directory, 'operator', programs, name);
    await rename(from, path.join(tree, programs, name.replace('operator-', 'chunk-')));
  }
  const control = path.join(tree, 'DEBIAN/control');
  const fields = await readFile(control, 'utf8');
  await writeFile(control, fields.replace(/^Version: .*$/m, 'Version: 0.0.1'));
  const file = path.join(directory, 'one.deb');
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, file]);
  return file;
}

/** A SQLite file with the rollout `r-1` of five devices. */
async function oneRollout(fleet: string): Promise<Uint8Array> {
  const directory = await mkdtemp(path.join(tmpdir(), 'wherry-rollout-'));
  try {
    const file = path.join(directory, 'rollouts.db');
    const store = await openRolloutStore(file, fleet, { isNew: true });
    const rollout = rolloutOf(5, []);
    const commands = { command: Buffer.from('run'), undo: Buffer.from('undo') };
    await store.create(rollout, new Map(rollout.members.map(({ device }) => [device, commands])));
    await store.close();
    return await readFile(file);
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('the packages of all architectures', () => {
  let packages: readonly BuiltPackage[];
  beforeAll(async () => {
    ({ packages } = await buildPackages({ root, archs: allArchs }));
  });

  it('[C209] are at most 400,000 bytes each', () => {
    expect(packages.map(({ arch }) => arch)).toEqual(allArchs);
    for (const { sizeBytes } of packages) expect(sizeBytes).toBeLessThanOrEqual(400_000);
  });

  it('have the same bytes when built again', async () => {
    const cache = await mkdtemp(path.join(tmpdir(), 'wherry-cache-'));
    try {
      // Everything except the downloads.
      for (const name of await readdir(cacheRoot())) {
        if (name.startsWith('sysroot-')) await symlink(path.join(cacheRoot(), name), path.join(cache, name));
      }
      const again = await buildPackages({ root, archs: ['armhf'], cache });
      for (const { arch, sha256 } of again.packages) {
        expect(sha256).toBe(packages.find((one) => one.arch === arch)?.sha256);
      }
    } finally {
      await rm(cache, { recursive: true });
    }
  });

  it.each(allArchs)(
    'carry addons for %s and Node 20 and 24 that need libsystemd and libc only',
    async (arch) => {
      const directory = await mkdtemp(path.join(tmpdir(), 'wherry-addons-'));
      try {
        const deb = packages.find((one) => one.arch === arch)?.file ?? '';
        await run('dpkg-deb', ['-x', deb, directory]);
        const addons = path.join(directory, 'usr/lib/wherry/addons');
        const names = (await readdir(addons)).sort();
        expect(names).toEqual([
          'journald-abi115.node',
          'journald-abi137.node',
          'notify-abi115.node',
          'notify-abi137.node',
        ]);
        for (const name of names) {
          const needed = await librariesOf(path.join(addons, name), arch);
          expect(needed).toContain('libsystemd.so.0');
          expect(needed.filter((library) => !/^(libsystemd|libc|ld-linux)\b/.test(library))).toEqual([]);
        }
      } finally {
        await rm(directory, { recursive: true });
      }
    },
  );

  it.each(allArchs)(
    '[C326] have for operators of %s an SQLite that needs libc and libgcc only',
    async (arch) => {
      const directory = await mkdtemp(path.join(tmpdir(), 'wherry-sqlite-'));
      try {
        const file = path.join(directory, 'index.node');
        await writeFile(file, (await sqliteLibrary(root, cacheRoot(), targets[arch])).bytes);
        const parts = /^(libc|libdl|libm|libpthread|librt|ld-linux[\w-]*|libgcc_s)\.so\b/;
        expect((await librariesOf(file, arch)).filter((library) => !parts.test(library))).toEqual([]);
      } finally {
        await rm(directory, { recursive: true });
      }
    },
  );
});

/**
 * The traces of a pod that matter to the package: units in /etc, files in /var/lib/wherry, a mount
 * in /run/wherry.
 */
const fakePod = `
set -e
mkdir -p /var/lib/wherry/pods/one /run/wherry/root
cat >/etc/systemd/system/wherry-pods.target <<'UNIT'
[Unit]
Wants=wherry-pod-one-app.service
UNIT
cat >/etc/systemd/system/run-wherry-root.mount <<'UNIT'
[Mount]
What=tmpfs
Where=/run/wherry/root
Type=tmpfs
UNIT
cat >/etc/systemd/system/wherry-pod-one-app.service <<'UNIT'
[Unit]
Requires=run-wherry-root.mount
After=run-wherry-root.mount
[Service]
ExecStart=/usr/bin/sleep infinity
Slice=wherry-pod-one.slice
UNIT
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf ../wherry-pods.target /etc/systemd/system/multi-user.target.wants/wherry-pods.target
systemctl daemon-reload
systemctl start wherry-pods.target
systemctl is-active wherry-pod-one-app.service`;

const configuration = `
fleet = "test"
device = "board"
[broker]
url = "mqtt://127.0.0.1:9"
`;

/** Tries actions from inside the unit of a pull. Each line of output is an action and yes or no. */
const sandboxProbe = `
const fs = require('node:fs'), net = require('node:net'), { execFileSync } = require('node:child_process');
const can = (word, act) => { try { act(); console.log(word, 'yes'); } catch { console.log(word, 'no'); } };
can('write-own', () => fs.writeFileSync('/var/lib/wherry/partial/probe/file', 'x'));
can('write-run', () => fs.writeFileSync('/run/wherry/pull/probe/file', 'x'));
can('write-other-job', () => fs.writeFileSync('/var/lib/wherry/partial/other/file', 'x'));
can('write-images', () => fs.writeFileSync('/var/lib/wherry/images/file', 'x'));
can('write-run-other', () => fs.writeFileSync('/run/wherry/file', 'x'));
can('read-config', () => fs.readFileSync('/etc/wherry/wherry.toml'));
can('see-others', () => fs.readFileSync('/proc/1/status'));
can('become-root', () => process.setuid(0));
can('make-suid', () => fs.chmodSync('/var/lib/wherry/partial/probe/file', 0o4755));
can('make-erofs', () => {
  process.chdir('/var/lib/wherry/partial/probe');
  execFileSync('mkfs.erofs', ['--quiet', '--tar=f', 'object.erofs'], { input: Buffer.alloc(10240) });
});
net.connect({ host: '127.0.0.1', port: 9 }).on('error', (e) => console.log('network', e.code));
`;

describe.each(everyRelease)('a package on %s', (name) => {
  let board: Board;
  let deb: BuiltPackage | undefined;
  let operator = '';
  const mainPid = async (unit: string) => (await board.check(`systemctl show -P MainPID ${unit}`)).trim();

  beforeAll(async () => {
    board = await startBoard({ board: name });
    const archs = [board.arch];
    const built = await buildPackages({ root, archs, operatorArchs: archs });
    [deb] = built.packages;
    await board.copyIn(deb?.file ?? '', '/tmp/wherry.deb');
    operator = built.operators[0]?.file ?? '';
    await board.copyIn(operator, '/tmp/wherry-operator.deb');
  });
  afterAll(async () => {
    await board.stop();
  });

  it('installs with dpkg: the service is enabled and waits for a configuration', async () => {
    await board.check('dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
    expect((await board.check('systemctl is-enabled wherryd.service')).trim()).toBe('enabled');
    // The service is ordered after the socket, so the socket's start has ended before.
    await board.check('systemctl start wherryd.service');
    expect((await board.run('systemctl is-active wherryd.service wherry-api.socket')).stdout).toBe(
      'inactive\ninactive\n',
    );
    expect(await board.check('stat -c "%a %U %n" /var/lib/wherry /var/lib/wherry/* /run/wherry/pull')).toBe(
      [
        '711 root /var/lib/wherry',
        '700 root /var/lib/wherry/images',
        '755 root /var/lib/wherry/locks',
        '750 root /var/lib/wherry/metadata',
        '711 root /var/lib/wherry/partial',
        '700 root /var/lib/wherry/pods',
        '700 root /var/lib/wherry/secrets',
        '755 root /var/lib/wherry/snapshots',
        '711 root /run/wherry/pull',
        '',
      ].join('\n'),
    );
    expect(await board.check('getent passwd wherry-pull')).toContain('/usr/sbin/nologin');
  });

  it('has addons that load under the Node of the board, and write to its journal', async () => {
    const script = `
      const abi = process.versions.modules, dir = '/usr/lib/wherry/addons/';
      const journald = require(dir + 'journald-abi' + abi + '.node');
      const notify = require(dir + 'notify-abi' + abi + '.node');
      console.log(abi, journald.send(5, 'MESSAGE=from the addon', 'WHERRY_TEST=addon'), typeof notify.ready);`;
    const output = await board.check('node -', { stdin: script });
    expect(output.trim()).toBe(`${board.nodeAbi} 0 function`);
    await board.waitFor('journalctl --no-pager -o json WHERRY_TEST=addon', ({ stdout }) =>
      stdout.includes('"MESSAGE":"from the addon"'),
    );
  });

  itOnce(name)('has a command line', async () => {
    expect(await board.check('wherry --help')).toContain('Usage: wherry');
  });

  itOnce(name)('[C208] has the commands of an operator only with a second package', async () => {
    const init = 'wherry --fleet /tmp/harbour fleet init harbour';
    const lacking = async () => {
      const { status, stderr } = await board.run(init);
      expect({ status, stderr }).toEqual({
        status: 70,
        stderr: `wherry: wherry fleet init is not installed here: install the package wherry-operator ${deb?.version ?? ''} (device-unsupported)\n`,
      });
    };
    await lacking();
    await board.check('dpkg -i /tmp/wherry-operator.deb');
    expect(await board.check(init)).toContain('harbour');
    expect(await board.check('wherry --version; dpkg-query -W -f "\\${Version}\\n" wherry-operator')).toBe(
      `${deb?.version ?? ''}\n`.repeat(2),
    );
    // The operator package depends on wherry.
    expect((await board.run('dpkg -r wherry')).stderr).toContain('dependency problems');
    await board.check('rm -r /tmp/harbour && dpkg -P wherry-operator');
    expect(await board.check('find / -xdev -name "*operator-*.js" -o -xdev -name wherry-operator')).toBe('');
    await lacking();
  });

  itOnce(name)('[C326] has the databases of rollouts in the package of operators', async () => {
    const rollout = (words: string) => board.run(`wherry --fleet /tmp/harbour rollout ${words}`);
    // An earlier package was for all architectures, and had no database.
    await board.check(`dpkg-deb -R /tmp/wherry-operator.deb /tmp/earlier
      rm -r /tmp/earlier/usr/lib/wherry/node_modules
      sed -i 's/^Architecture: .*/Architecture: all/; s/^Version: /&0~/' /tmp/earlier/DEBIAN/control
      dpkg-deb --root-owner-group -Znone --build /tmp/earlier /tmp/earlier.deb
      dpkg -i /tmp/earlier.deb
      wherry --fleet /tmp/harbour fleet init harbour`);
    await board.copyIn(await oneRollout('harbour'), '/tmp/harbour/rollouts.db');
    const { status, stderr } = await rollout('list');
    expect({ status, stderr }).toEqual({
      status: 70,
      stderr: expect.stringMatching(
        /^wherry: the driver of SQLite \(libsql\) cannot be loaded: Cannot find module '@libsql.*; reinstall the package wherry-operator /,
      ) as string,
    });
    await board.check('dpkg -i /tmp/wherry-operator.deb');
    expect(await board.check('dpkg -V wherry-operator')).toBe('');
    expect(await rollout('pause r-1 --reason lunch')).toMatchObject({ status: 0 });
    expect((await rollout('list')).stdout).toMatch(/^r-1 .* paused +5 /m);
    // The driver of PostgreSQL reports that nothing listens.
    expect(await rollout('list --database postgres://127.0.0.1:9/wherry')).toMatchObject({
      status: 69,
      stderr:
        'wherry: the database 127.0.0.1:9/wherry cannot be used: connect ECONNREFUSED 127.0.0.1:9 (database-unavailable)\n',
    });
    await board.check('rm -r /tmp/harbour /tmp/earlier && dpkg -P wherry-operator');
    expect((await board.run('ls /usr/lib/wherry/node_modules')).status).not.toBe(0);
  });

  it('runs the supervisor when it is configured, without the privileges of root', async () => {
    await board.copyIn(Buffer.from(configuration), '/etc/wherry/wherry.toml');
    await board.check('systemctl start wherryd.service');
    expect(await board.check('systemctl is-active wherry-api.socket')).toBe('active\n');
    const pid = await mainPid('wherryd.service');
    // CAP_CHOWN (0), CAP_DAC_OVERRIDE (1), CAP_FOWNER (3) and CAP_FSETID (4).
    expect(await board.check(`grep -E '^Cap(Bnd|Eff)|^NoNewPrivs' /proc/${pid}/status`)).toBe(
      'CapEff:\t000000000000001b\nCapBnd:\t000000000000001b\nNoNewPrivs:\t1\n',
    );
    await board.check('journalctl --sync');
    expect(await board.journal('-u wherryd -o cat')).not.toContain('Warning');
  });

  itOnce(name)(
    '[C336] [C342] runs one supervisor, which a second one and SIGUSR1 do not disturb',
    async () => {
      const pid = await mainPid('wherryd.service');
      const second = (user: string, ...words: readonly string[]) =>
        board.run(`setpriv --reuid=${user} node --jitless /usr/lib/wherry/wherryd.js ${words.join(' ')}`);
      for (const [refused, why] of [
        [
          await second('root'),
          'another wherryd runs with /var/lib/wherry; see "systemctl status wherryd.service"',
        ],
        [await second('root', '--help'), 'it takes no arguments'],
        [await second('nobody'), '/var/lib/wherry cannot be locked'],
      ] as const) {
        expect(refused).toMatchObject({
          status: 1,
          stderr: expect.stringContaining(`wherryd: wherryd cannot run: ${why}`) as string,
        });
      }
      await board.check(`kill -USR1 ${pid}; journalctl --sync`);
      expect(await mainPid('wherryd.service')).toBe(pid);
      expect(await board.journal('-u wherryd -o cat')).not.toContain('Debugger');
    },
  );

  itOnce(name)('[C343] starts and stops nothing that policy-rc.d forbids', async () => {
    const pid = await mainPid('wherryd.service');
    const asked = '/run/policy-asked';
    await board.copyIn(Buffer.from(`#!/bin/sh\necho "$*" >>${asked}\nexit 101\n`), '/usr/sbin/policy-rc.d');
    await board.check('chmod +x /usr/sbin/policy-rc.d; /var/lib/dpkg/info/wherry.postinst configure 0.1.0');
    expect(await mainPid('wherryd.service')).toBe(pid);
    expect((await board.check(`cat ${asked}`)).split('\n')).toEqual(
      expect.arrayContaining(['wherry-snapshot.service start', 'wherryd.service restart']),
    );
    await board.check(`rm ${asked}; /var/lib/dpkg/info/wherry.prerm remove`);
    expect(await mainPid('wherryd.service')).toBe(pid);
    expect(await board.check(`cat ${asked}`)).toMatch(/^\S+ stop$/m);
    await board.check('rm /usr/sbin/policy-rc.d; /var/lib/dpkg/info/wherry.postinst configure 0.1.0');
    await expect.poll(() => mainPid('wherryd.service'), { timeout: 60_000 }).not.toBe(pid);
    await board.waitForUnit('wherryd.service');
  });

  it('confines a pull to its job', async () => {
    await board.copyIn(Buffer.from(sandboxProbe), '/usr/lib/wherry/probe.cjs');
    const output = await board.check(
      `mkdir -p /etc/systemd/system/wherry-pull@probe.service.d
      printf '[Service]\\nExecStart=\\nExecStart=node --jitless /usr/lib/wherry/probe.cjs\\n' \\
        >/etc/systemd/system/wherry-pull@probe.service.d/probe.conf
      systemctl daemon-reload
      mkdir /var/lib/wherry/partial/other
      chmod 777 /var/lib/wherry/partial/other
      install -d -o wherry-pull -m 700 /var/lib/wherry/partial/probe /run/wherry/pull/probe
      systemctl start wherry-pull@probe.service
      journalctl --sync
      journalctl --no-pager -o cat _SYSTEMD_UNIT=wherry-pull@probe.service
      rm -r /etc/systemd/system/wherry-pull@probe.service.d /usr/lib/wherry/probe.cjs /var/lib/wherry/partial/*
      systemctl daemon-reload`,
    );
    expect(output.trim().split('\n')).toEqual([
      'write-own yes',
      'write-run yes',
      'write-other-job no',
      'write-images no',
      'write-run-other no',
      'read-config no',
      'see-others no',
      'become-root no',
      'make-suid no',
      'make-erofs yes',
      'network ECONNREFUSED',
    ]);
  });

  itOnce(name)('restarts the supervisor when upgraded', async () => {
    const supervisor = await mainPid('wherryd.service');
    await board.check('dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
    await board.waitFor(
      'systemctl show -P MainPID wherryd.service',
      ({ stdout }) => !['0', supervisor].includes(stdout.trim()),
    );
    await board.waitForUnit('wherryd.service');
  });

  itOnce(name)('replaces the single package that also had the commands of an operator', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'wherry-one-'));
    try {
      await board.copyIn(await onePackage(deb?.file ?? '', operator, directory), '/tmp/one.deb');
    } finally {
      await rm(directory, { recursive: true });
    }
    const files = 'ls /usr/lib/wherry/*.js';
    const before = (await board.check(files)).trim().split('\n');
    await board.check('dpkg -i /tmp/one.deb', { timeoutMs: 300_000 });
    expect((await board.check(files)).trim().split('\n').length).toBeGreaterThan(before.length);
    await board.check('dpkg -i /tmp/wherry.deb /tmp/wherry-operator.deb', { timeoutMs: 300_000 });
    // Every file is as packed, and no file of the single package is left.
    expect(await board.check('dpkg -V wherry wherry-operator')).toBe('');
    const after = (await board.check(files)).trim().split('\n');
    expect(after.filter((file) => !file.includes('/operator-'))).toEqual(before);
    await board.check('dpkg -P wherry-operator');
    expect((await board.check(files)).trim().split('\n')).toEqual(before);
    await board.waitForUnit('wherryd.service');
  });

  itOnce(name)(
    '[C274] starts an enabled wherryd after a removal or a state that it could not read',
    async () => {
      // A removal, and an upgrade from a version that is older than the state.
      for (const removal of ['dpkg -r wherry', 'true']) {
        await board.check('cd /var/lib/wherry; echo later | tee state-a.cbor state-b.cbor');
        expect((await board.run('systemctl restart wherryd.service')).status).toBe(1);
        const result = await board.check('systemctl show -P ActiveState -P ExecMainStatus wherryd');
        expect(result).toBe('78\nfailed\n');
        await board.check(`${removal}; rm /var/lib/wherry/state-*.cbor`, { timeoutMs: 300_000 });
        const failed = await board.check(`systemctl list-units --failed --plain --no-legend 'wherryd*'`);
        expect(failed === '').toBe(removal !== 'true');
        await board.check('dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
        await board.waitForUnit('wherryd.service');
      }
    },
  );

  itOnce(name)('[C274] leaves a disabled wherryd disabled through upgrade and removal', async () => {
    const enabled = async () => (await board.run('systemctl is-enabled wherryd')).stdout;
    await board.check('systemctl disable --now wherryd; dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
    expect(await enabled()).toBe('disabled\n');
    await board.check('dpkg -r wherry; dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
    expect(await enabled()).toBe('disabled\n');
    const begun = 'systemctl list-jobs --plain --no-legend wherryd.service; systemctl is-active wherryd';
    expect((await board.run(begun)).stdout).toBe('inactive\n');
    await board.check('systemctl enable --now wherryd');
  });

  itOnce(name)('stops the supervisor when removed and leaves the pods alone', async () => {
    // The test wrote the files of the pod. A starting supervisor would treat it as a leftover and
    // stop it, so none may start meanwhile.
    await board.check(fakePod);
    const pod = await mainPid('wherry-pod-one-app.service');
    await board.check('dpkg -r wherry', { timeoutMs: 300_000 });
    expect((await board.run('systemctl is-active wherryd.service')).stdout.trim()).toBe('inactive');
    expect(await mainPid('wherry-pod-one-app.service')).toBe(pod);
    expect(await board.check('ls /var/lib/wherry')).toContain('pods');
    expect((await board.run('ls /usr/lib/wherry')).status).not.toBe(0);
  });

  itOnce(name)(
    'ends the pods and deletes what was stored when purged, and keeps the configuration',
    async () => {
      await board.check('dpkg --purge wherry', { timeoutMs: 300_000 });
      expect((await board.run('systemctl is-active wherry-pod-one-app.service')).stdout.trim()).toBe(
        'inactive',
      );
      const left = [
        `find /etc/systemd/system /var/lib /run -name '*wherry*'`,
        'findmnt -rno TARGET',
        `systemctl list-units --all --plain --no-legend '*wherry*'`,
      ];
      // The board's own agent has a similar name.
      await board.waitFor(
        `(${left.join('; ')}) | grep wherry | grep -vE 'wherry.rig'`,
        ({ stdout }) => stdout === '',
      );
      expect(await board.check('find /etc/wherry -type f')).toBe('/etc/wherry/wherry.toml\n');
    },
  );

  itOnce(name)('[C274] installs where wherryd is masked, and unmasking enables it', async () => {
    await board.check('systemctl mask wherryd && dpkg -i /tmp/wherry.deb', { timeoutMs: 300_000 });
    expect((await board.run('systemctl is-active wherryd')).stdout).toBe('inactive\n');
    await board.check('systemctl unmask wherryd');
    expect(await board.check('systemctl is-enabled wherryd')).toBe('enabled\n');
  });
});
