import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';
import { exitStatusOf, visitedExitStatus } from '../../src/device/agent/exit-status.ts';

const run = promisify(execFile);
const debian = path.join(import.meta.dirname, '../../cross/debian');
const device = path.join(import.meta.dirname, '../../src/device');
/** The directory of each unit file, next to the program that it confines. */
const unitFiles: Readonly<Record<string, string>> = {
  'wherryd.service': 'agent',
  'wherry-api.service': 'local-api',
  'wherry-api.socket': 'local-api',
  'wherry-arm32.service': 'host',
  'wherry-clock.service': 'pod',
  'wherry-clock.timer': 'pod',
  'wherry-exec@.service': 'local-api',
  'wherry-examine.service': 'jobs/examine',
  'wherry-floor.service': 'agent',
  'wherry-metadata.service': 'metadata',
  'wherry-metadata.socket': 'metadata',
  'wherry-metadata-proxy@.service': 'metadata',
  'wherry-pull@.service': 'jobs/pull',
  'wherry-render@.service': 'jobs/render',
  'wherry-seal.service': 'jobs/seal',
  'wherry-volume.service': 'jobs/volume',
  'wherry-snapshot.service': 'jobs/unit',
  'wherry-snapshot.path': 'jobs/unit',
};
const unitFile = (name: string): string => path.join(device, unitFiles[name] ?? '', name);
const analyze = existsSync('/usr/bin/systemd-analyze') && existsSync('/usr/bin/node');

/** Directives of a unit; a repeated one has its values joined. */
async function directives(unit: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const line of (await readFile(unitFile(unit), 'utf8')).split('\n')) {
    const [, name, value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) found.set(name, [found.get(name), value].filter(Boolean).join(' '));
  }
  return found;
}

describe.each(['postinst', 'prerm', 'postrm'])('the maintainer script %s', (name) => {
  it('is valid sh that stops at the first failure', async () => {
    await run('sh', ['-n', path.join(debian, name)]);
    expect(await readFile(path.join(debian, name), 'utf8')).toMatch(/^#!\/bin\/sh\n(#.*\n)*set -e\n/);
  });

  it('refuses an unknown argument', async () => {
    await expect(run('sh', [path.join(debian, name), 'dance'])).rejects.toThrow(
      `${name} called with unknown argument 'dance'`,
    );
  });
});

describe('the units', () => {
  it.skipIf(!analyze)('are accepted by systemd without a warning', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'wherry-units-'));
    try {
      const units = [
        ['wherryd.service', 'wherryd.service'],
        ['wherry-api.service', 'wherry-api.service'],
        ['wherry-api.socket', 'wherry-api.socket'],
        ['wherry-arm32.service', 'wherry-arm32.service'],
        ['wherry-clock.service', 'wherry-clock.service'],
        ['wherry-clock.timer', 'wherry-clock.timer'],
        ['wherry-exec@.service', 'wherry-exec@job.service'],
        ['wherry-examine.service', 'wherry-examine.service'],
        ['wherry-floor.service', 'wherry-floor.service'],
        ['wherry-metadata.service', 'wherry-metadata.service'],
        ['wherry-metadata.socket', 'wherry-metadata.socket'],
        ['wherry-metadata-proxy@.service', 'wherry-metadata-proxy@job.service'],
        ['wherry-pull@.service', 'wherry-pull@job.service'],
        ['wherry-render@.service', 'wherry-render@job.service'],
        ['wherry-seal.service', 'wherry-seal.service'],
        ['wherry-volume.service', 'wherry-volume.service'],
        ['wherry-snapshot.service', 'wherry-snapshot.service'],
        ['wherry-snapshot.path', 'wherry-snapshot.path'],
      ] as const;
      for (const [source, name] of units) {
        // systemd checks that the program of a service exists.
        const text = await readFile(unitFile(source), 'utf8');
        const here = text.replaceAll(
          /\/usr\/lib\/wherry\/(snapshot|run-in-app) /g,
          (_, script: string) => `${path.join(debian, script)} `,
        );
        await writeFile(path.join(directory, name), here);
      }
      // wherryd writes the socket of each pod.
      const podSocket = '[Socket]\nListenStream=/run/x\nService=wherry-metadata-proxy@job.service\n';
      await writeFile(path.join(directory, 'wherry-metadata-job.socket'), podSocket);
      const files = units.map(([, name]) => path.join(directory, name));
      expect(units.map(([source]) => source).toSorted()).toEqual(Object.keys(unitFiles).toSorted());
      const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...files]);
      // It also checks the units that these depend on. Only its messages about these count.
      const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('wherry'));
      // systemd before 253 does not have LogFilterPatterns, and before 254 RestartSteps; it reports
      // that it ignores them.
      const ignored = /Unknown key '(LogFilterPatterns|RestartSteps|RestartMaxDelaySec)'/;
      expect(about.filter((line) => !ignored.test(line))).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('[C217] end a program in an app, and its remaining processes, with the local API', async () => {
    const unit = await directives('wherry-exec@.service');
    expect(unit.get('BindsTo')).toBe('wherry-api.service');
    expect(unit.get('ExecStopPost')).toMatch(/ end$/);
    expect(unit.get('KillSignal')).toBe('SIGKILL');
    await run('sh', ['-n', path.join(debian, 'run-in-app')]);
  });

  it('start the supervisor at boot without waiting for a network', async () => {
    const unit = await directives('wherryd.service');
    expect(unit.get('WantedBy')).toBe('multi-user.target');
    expect(unit.get('After')).not.toContain('network-online');
    expect(unit.get('ConditionPathExists')).toBe('/etc/wherry/wherry.toml');
  });

  it('test for 32-bit programs before the supervisor starts, and never prevent its start', async () => {
    const unit = await directives('wherryd.service');
    expect(unit.get('Wants')).toContain('wherry-arm32.service');
    expect(unit.get('After')).toContain('wherry-arm32.service');
    const arm32 = await directives('wherry-arm32.service');
    expect(arm32.get('ExecStart')).toMatch(/^-/);
    // An error message of setarch is not an answer.
    expect(arm32.get('StandardOutput')).toBe('truncate:/run/wherry/arm32');
    expect(arm32.get('StandardError')).toBe('journal');
    expect(arm32.get('CapabilityBoundingSet')).toBe('');
    expect(arm32.get('User')).toBe('wherry-pull');
  });

  it('restart a supervisor that dies or hangs, without a limit', async () => {
    const unit = await directives('wherryd.service');
    expect(unit.get('Type')).toBe('notify');
    expect(unit.get('Restart')).toBe('always');
    expect(Number(unit.get('WatchdogSec'))).toBeGreaterThan(0);
    expect(unit.get('StartLimitIntervalSec')).toBe('0');
    expect(unit.get('RestartMaxDelaySec')).toBe('300');
    expect(Number(unit.get('RestartSteps'))).toBeGreaterThan(5);
  });

  it.each(['wherry-api.service', 'wherry-metadata.service', 'wherry-metadata-proxy@.service'])(
    '[C247] keep the socket of %s after any number of failures',
    async (name) => {
      const unit = await directives(name);
      expect(unit.get('StartLimitIntervalSec')).toBe('0');
      expect(unit.get('Restart')).toBe('on-failure');
      // A socket starts its service at most 20 times within two seconds before it fails.
      expect(Number(unit.get('RestartSec'))).toBeGreaterThanOrEqual(1);
    },
  );

  it('allow a snapshot at each start of a supervisor that ends at once', async () => {
    const [wherryd, snapshot] = [
      await directives('wherryd.service'),
      await directives('wherry-snapshot.service'),
    ];
    const restarts = Number(snapshot.get('StartLimitIntervalSec')) / Number(wherryd.get('RestartSec'));
    expect(Number(snapshot.get('StartLimitBurst'))).toBeGreaterThan(2 * restarts);
  });

  it('give the supervisor no capability that could mount, load or trace', async () => {
    const unit = await directives('wherryd.service');
    expect(unit.get('CapabilityBoundingSet')).toBe('CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID');
    expect(unit.get('ProtectSystem')).toBe('strict');
    expect(unit.get('ReadWritePaths')).toBe(
      '/etc/systemd/system /var/lib/wherry /run/wherry -/run/systemd/units',
    );
  });

  it('restart wherryd after any exit status except an unreadable state and the end of a visit', async () => {
    const unit = await directives('wherryd.service');
    expect(unit.get('Restart')).toBe('always');
    expect(unit.get('RestartPreventExitStatus')).toBe(
      `${exitStatusOf('state-unreadable')} ${visitedExitStatus}`,
    );
    expect(unit.get('SuccessExitStatus')).toBe(String(visitedExitStatus));
    expect(exitStatusOf('config-invalid')).toBe(1);
  });

  it.each(['wherryd.service', 'wherry-examine.service', 'wherry-pull@.service', 'wherry-render@.service'])(
    'run Node without JIT in %s, so that no memory is writable and executable',
    async (name) => {
      const unit = await directives(name);
      expect(unit.get('ExecStart')).toContain(' --jitless ');
      expect(unit.get('MemoryDenyWriteExecute')).toBe('yes');
    },
  );

  it.each(['wherryd.service', 'wherry-examine.service', 'wherry-pull@.service', 'wherry-render@.service'])(
    'start Node in %s without a warning about its flags in the journal',
    async (name) => {
      const unit = await directives(name);
      const flags = (unit.get('ExecStart')?.split(' ') ?? []).filter((word) => word.startsWith('--'));
      const { stderr } = await run(process.execPath, [...flags, '-e', '0']);
      const filter = unit.get('LogFilterPatterns') ?? '';
      expect(filter).toMatch(/^~/);
      const left = stderr.split('\n').filter((line) => !new RegExp(filter.slice(1)).test(line));
      expect(left).toEqual(['']);
    },
  );

  it('start their programs with the options of their snapshot', async () => {
    const command = async (unit: string) => (await directives(unit)).get('ExecStart');
    const made = (await command('wherry-snapshot.service'))?.replace('/snapshot make ', '/snapshot run ');
    expect(await command('wherry-pull@.service')).toBe(`${String(made)} pull %i`);
    expect(await command('wherry-render@.service')).toBe(`${String(made)} render %i`);
    expect(await command('wherry-examine.service')).toBe(`${String(made)} examine /run/wherry/examine`);
  });

  it('make the snapshot as root without capabilities, when the supervisor starts or one did not fit', async () => {
    expect((await directives('wherryd.service')).get('Wants')).toContain('wherry-snapshot.service');
    const unit = await directives('wherry-snapshot.service');
    expect(unit.get('After')).toBe('wherryd.service'); // so that it does not delay the connection to the broker
    expect(unit.get('User')).toBeUndefined();
    expect(unit.get('CapabilityBoundingSet')).toBe('');
    expect((await directives('wherry-snapshot.path')).get('DirectoryNotEmpty')).toBe('/run/wherry/misfits');
    for (const unprivileged of ['wherry-pull@.service', 'wherry-examine.service']) {
      expect((await directives(unprivileged)).get('ReadWritePaths')).not.toContain(
        '/var/lib/wherry/snapshots',
      );
    }
  });

  it('let a pull write only to the directories of its job, as an unprivileged user', async () => {
    const unit = await directives('wherry-pull@.service');
    expect(unit.get('User')).toBe('wherry-pull');
    expect(unit.get('CapabilityBoundingSet')).toBe('');
    expect(unit.get('NoNewPrivileges')).toBe('yes');
    expect(unit.get('ProtectSystem')).toBe('strict');
    expect(unit.get('ReadWritePaths')).toBe(
      '/var/lib/wherry/partial/%i /run/wherry/pull/%i -/run/wherry/misfits',
    );
    expect(unit.get('MemoryMax')).toBe('96M');
    expect(unit.get('MemorySwapMax')).toBe('0');
  });

  it('let a rendering read images of any mode, nothing else of the device and no network', async () => {
    const unit = await directives('wherry-render@.service');
    expect(unit.get('User')).toBe('wherry-pull');
    expect(unit.get('CapabilityBoundingSet')).toBe('CAP_DAC_READ_SEARCH');
    expect(unit.get('AmbientCapabilities')).toBe('CAP_DAC_READ_SEARCH');
    expect(unit.get('NoNewPrivileges')).toBe('yes');
    expect(unit.get('PrivateNetwork')).toBe('yes');
    expect(unit.get('RestrictAddressFamilies')).toBe('AF_UNIX');
    expect(unit.get('TemporaryFileSystem')).toBe('/etc:ro /run:ro /var:ro');
    expect(unit.get('ReadWritePaths')).toBe('/var/lib/wherry/partial/%i');
    // The capability is dangerous because of open_by_handle_at(2), which is in @privileged.
    expect(unit.get('SystemCallFilter')).toContain('~@privileged');
    expect(unit.get('MemoryMax')).toBe('96M');
    expect(unit.get('MemorySwapMax')).toBe('0');
  });

  it('are stopped by prerm, renderings too', async () => {
    expect(await readFile(path.join(debian, 'prerm'), 'utf8')).toMatch(/ wherry-render@\*\.service'/);
  });

  it('pass the device key to the examination only, and start without one', async () => {
    const unit = await directives('wherry-examine.service');
    expect(unit.get('LoadCredentialEncrypted')).toBe('wherry.device-key:/run/wherry/examine/device-key.cred');
    expect(unit.get('SetCredential')).toBe('wherry.device-key:# none');
    for (const name of Object.keys(unitFiles).filter((other) => other !== 'wherry-examine.service'))
      expect((await directives(name)).get('LoadCredentialEncrypted')).toBeUndefined();
  });

  it('let a seal only read the received values and write sealed ones', async () => {
    const unit = await directives('wherry-seal.service');
    expect(unit.get('CapabilityBoundingSet')).toBe('CAP_DAC_READ_SEARCH');
    expect(unit.get('ReadWritePaths')).toBe('/var/lib/wherry/secrets');
    expect(unit.get('PrivateNetwork')).toBe('yes');
    expect(unit.get('MemorySwapMax')).toBe('0');
  });

  it('[C210] let the creation of a volume only write volumes and open loop devices', async () => {
    const unit = await directives('wherry-volume.service');
    expect(unit.get('CapabilityBoundingSet')).toBe('CAP_DAC_READ_SEARCH CAP_SYS_ADMIN CAP_SYS_RESOURCE');
    expect(unit.get('ReadWritePaths')).toBe(
      '/var/lib/wherry/volumes /run/wherry/volume-job -/run/wherry/volumes',
    );
    expect(unit.get('DevicePolicy')).toBe('closed');
    expect(unit.get('DeviceAllow')).toBe('/dev/loop-control rw block-loop rw');
    expect(unit.get('PrivateNetwork')).toBe('yes');
    await run('sh', ['-n', path.join(debian, 'make-volume')]);
  });

  it('pass a pull its secrets in memory, and start it without any', async () => {
    const unit = await directives('wherry-pull@.service');
    expect(unit.get('LoadCredential')).toBe('credentials.toml:/etc/wherry/credentials.toml');
    expect(unit.get('SetCredential')).toBe('credentials.toml:# none');
    expect(unit.get('InaccessiblePaths')).toBe('-/etc/wherry');
  });
});
