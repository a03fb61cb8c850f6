import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBoard, type Board } from '../../qemu/index.ts';
import { parseImageManifest, parseImageId, parsePodManifest } from '../../src/image/appc/index.ts';
import { compilePod, type CompiledPod } from '../../src/device/pod/index.ts';
import { podUuid } from '../../src/wire/trust/index.ts';
import type { UnitStatus } from '../../src/device/systemd/index.ts';
import { everyBoard, itOnce } from './board-choice.ts';

const imageId = parseImageId(`sha512-${'ab'.repeat(64)}`);
const machines = { amd64: 'x64', arm64: 'arm64', armhf: 'arm' } as const;

/** systemd, crun, cgroups and the compiler's output, without wherryd. */
describe.each(everyBoard)('a compiled pod on %s', (name) => {
  let board: Board;
  beforeAll(async () => {
    board = await startBoard({ board: name });
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, 'systemd-steps.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      write: false,
      banner: { js: `import{createRequire as $c}from'node:module';const require=$c(import.meta.url);` },
    });
    await board.copyIn(outputFiles[0]?.contents ?? '', '/root/steps.mjs');
    await board.check(`set -e
      mkdir -p /run/tree/rootfs/bin /var/lib/wherry/images
      cp "$(command -v busybox)" /run/tree/rootfs/bin/busybox
      for name in sh cat id sleep tail dd chroot; do ln -s busybox /run/tree/rootfs/bin/$name; done
      mkdir -p /run/tree/rootfs/board/usr
      for name in bin lib lib64; do ln -s usr/$name /run/tree/rootfs/board/$name; done
      mkfs.erofs --quiet /var/lib/wherry/images/${imageId}.erofs /run/tree >/dev/null`);
  });
  afterAll(() => board.stop());

  const compile = (podName: string, app: object, pod: object = {}): CompiledPod => {
    const bytes = Buffer.from(
      JSON.stringify({
        acVersion: '0.8.11',
        acKind: 'PodManifest',
        apps: [
          {
            name: 'web',
            image: { id: imageId },
            ...app,
          },
        ],
        ...pod,
      }),
    );
    return compilePod({
      name: podName,
      uuid: podUuid(podName, bytes),
      manifest: parsePodManifest(bytes),
      images: new Map([
        [
          imageId,
          {
            id: imageId,
            manifest: parseImageManifest(
              Buffer.from(
                JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/b' }),
              ),
            ),
            layers: [imageId],
            passwd: '',
            group: '',
            owners: new Map(),
          },
        ],
      ]),
      host: {
        controllers: board.lacks.controllers === undefined ? ['cpu', 'memory', 'pids', 'io'] : [],
        crunPath: '/usr/bin/crun',
        cpuCount: 2,
        memoryBytes: 512 << 20,
        limits: board.lacks.controllers === undefined ? 'require' : 'best-effort',
        holderPath: '/usr/bin/catatonit',
        machine: machines[board.arch],
        directories: {
          images: '/var/lib/wherry/images',
          pods: '/var/lib/wherry/pods',
          volumes: '/var/lib/wherry/volumes',
          run: '/run/wherry',
        },
      },
    });
  };
  const shell = (script: string, more: object = {}) => ({
    app: { exec: ['/bin/sh', '-c', script], user: '0', group: '0', ...more },
  });

  const write = async (pod: CompiledPod) => {
    const home = `/var/lib/wherry/pods/${pod.uuid}`;
    const put = (path: string, content: string) =>
      `mkdir -p '${path.replace(/\/[^/]*$/, '')}'; echo ${Buffer.from(content).toString('base64')} | base64 -d >'${path}'`;
    await board.check(
      [
        'set -e',
        ...pod.units.map((unit) => put(`/etc/systemd/system/${unit.name}`, unit.text)),
        ...pod.files.map((file) => put(`${home}/${file.path}`, file.content)),
        ...pod.directories.map(({ path }) => `mkdir -p ${home}/${path}`),
      ].join('\n'),
    );
  };
  /** Runs steps against systemd through the client under test, under the board's own Node. */
  const steps = async (...list: (readonly string[])[]): Promise<unknown[]> => {
    const output = await board.check(`node /root/steps.mjs '${JSON.stringify(list)}'`, {
      timeoutMs: 180_000,
    });
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { value?: unknown; error?: string })
      .map(({ value, error }) => error ?? value);
  };
  const unitOf = (pod: CompiledPod) => pod.services[0]?.unit ?? '';
  const start = async (pod: CompiledPod): Promise<UnitStatus> => {
    await write(pod);
    const [, result, status] = await steps(['reload'], ['start', unitOf(pod)], ['status', unitOf(pod)]);
    expect(result).toBe('done');
    return status as UnitStatus;
  };
  /** The app's own lines. Lines of systemd about the unit carry the pod's name, too. */
  const from = (pod: CompiledPod) => `WHERRY_POD=${pod.name} WHERRY_APP=web _TRANSPORT=stdout`;
  const saying = async (pod: CompiledPod, text: string) =>
    board.waitFor(`journalctl -b -o cat ${from(pod)}`, ({ stdout }) => stdout.includes(text));

  itOnce(name)(
    '[A12.1] starts from a clean copy each time, and leaves nothing behind when it ends',
    async () => {
      const pod = compile(
        'clean',
        shell('if [ -e /mark ]; then echo dirty; else echo clean; fi; echo >/mark; exec sleep 1000000'),
      );
      const { mainPid = 0 } = await start(pod);
      await saying(pod, 'clean');
      await board.check(`kill -9 ${mainPid}`);
      await board.waitFor(
        `journalctl -b -o cat ${from(pod)} | grep -c -e clean -e dirty`,
        ({ stdout }) => Number(stdout) === 2,
      );
      // An app runs, and may write, before systemd has finished its start.
      await board.waitForUnit(unitOf(pod));
      const [status] = (await steps(['status', unitOf(pod)])) as [UnitStatus];
      expect(status).toMatchObject({ activeState: 'active', restarts: 1 });
      await steps(['stop', unitOf(pod)]);
      expect(await board.journal(`-b -o cat ${from(pod)}`)).not.toContain('dirty');
      expect(
        (await board.check('ls -A /run/wherry/apps; grep -c /run/wherry/apps /proc/mounts || true')).trim(),
      ).toBe('0');
    },
  );

  itOnce(name)('gets its stop signal, and is killed if it does not end', async () => {
    const polite = compile(
      'polite',
      shell(`trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 1; done`),
    );
    const stubborn = compile('stubborn', {
      ...shell(`trap '' TERM; echo up; while :; do sleep 1; done`),
      annotations: [{ name: 'wherry/stop-timeout', value: '2' }],
    });
    await start(polite);
    await start(stubborn);
    await saying(polite, 'up');
    await saying(stubborn, 'up');
    const [, , politely, killed] = (await steps(
      ['stop', unitOf(polite)],
      ['stop', unitOf(stubborn)],
      ['status', unitOf(polite)],
      ['status', unitOf(stubborn)],
    )) as [string, string, UnitStatus, UnitStatus];
    expect(await board.journal(`-b -o cat ${from(polite)}`)).toContain('bye');
    expect(politely).toMatchObject({ activeState: 'inactive', result: 'success' });
    expect(killed).toMatchObject({ activeState: 'failed', result: 'timeout' });
  });

  itOnce(name)('has a layer on the disk if it wants one, new at every start [C332]', async () => {
    const script = 'cat /own 2>/dev/null || echo fresh; echo old >/own; chmod 4755 /own; exec sleep 1000000';
    const pod = compile('layer', {
      ...shell(script),
      annotations: [{ name: 'wherry/layer-size', value: 'disk' }],
    });
    await start(pod);
    await saying(pod, 'fresh');
    const layer = `/var/lib/wherry/pods/${pod.uuid}/apps/web.layer`;
    await board.waitFor(`test -u ${layer}/upper/own`);
    expect((await board.check(`stat -c '%a %u:%g' ${layer}`)).trim()).toBe('700 0:0');
    await steps(['stop', unitOf(pod)], ['start', unitOf(pod)]);
    await board.waitFor(`test -u ${layer}/upper/own`);
    const { stdout } = await saying(pod, 'fresh');
    expect(stdout.match(/^(?:fresh|old)$/gm)).toEqual(['fresh', 'fresh']);
    await steps(['stop', unitOf(pod)]);
    expect(await board.check('grep web.layer /proc/1/mountinfo || true')).toBe('');
  });

  itOnce(name)('runs as another user with a bounding set only, behind a filter', async () => {
    const pod = compile(
      'user',
      shell(`id -u; id -g; while read -r l; do echo "$l"; done </proc/self/status; exec sleep 1000000`, {
        user: '1000',
        group: '100',
      }),
    );
    await start(pod);
    const { stdout } = await saying(pod, 'Seccomp:\t2');
    expect(stdout.split('\n').slice(0, 2)).toEqual(['1000', '100']);
    expect(stdout).toMatch(/CapEff:\s0{16}/);
    expect(stdout).toMatch(/CapBnd:\s00000000a80425fb/);
    await steps(['stop', unitOf(pod)]);
  });

  it('[A14.7] [C333] runs under a filter that permits only the calls it needs', async () => {
    const pod = compile('filter', {
      ...shell('echo through; exec sleep 1', {
        isolators: [
          // C libraries call clock_nanosleep, with 64-bit times on ARMv7. Another call kills.
          { name: 'os/linux/seccomp-retain-set', value: { set: ['write', 'getppid', 'nanosleep'] } },
        ],
      }),
      annotations: [{ name: 'wherry/restart', value: 'no' }],
    });
    await start(pod);
    await saying(pod, 'through');
    await board.waitFor(`systemctl show -P ActiveState '${unitOf(pod)}'`, ({ stdout }) =>
      /^(?:inactive|failed)$/m.test(stdout),
    );
    expect(await board.check(`systemctl show -P Result '${unitOf(pod)}'`)).toBe('success\n');
  });

  itOnce(name)('starts threads under a filter that knows clone and not clone3 [C335]', async () => {
    const known = await board.check('systemd-analyze syscall-filter @known');
    const set = known.split('\n').flatMap((line) => /^ {4}([a-z0-9_]+)$/.exec(line)?.slice(1) ?? []);
    expect(set).toEqual(expect.arrayContaining(['clone', 'clone3']));
    const older = set.filter((call) => call !== 'clone3');
    const pod = compile(
      'threads',
      {
        ...shell(`chroot /board node -e "new Worker('console.log(\\'a thread\\')', { eval: true })"`, {
          isolators: [{ name: 'os/linux/seccomp-retain-set', value: { set: older, errno: 'EPERM' } }],
          mountPoints: [{ name: 'usr', path: '/board/usr' }],
        }),
        annotations: [{ name: 'wherry/restart', value: 'no' }],
      },
      { volumes: [{ name: 'usr', kind: 'host', source: '/usr', readOnly: true }] },
    );
    await start(pod);
    await saying(pod, 'a thread');
  });

  itOnce(name)(
    'shares PID, IPC and UTS namespaces between its apps, and restarts as a whole when the holder dies',
    async () => {
      const sleeper = { image: { id: imageId }, ...shell('echo up; exec sleep 1000000') };
      const pod = compile('duo', shell('echo up; exec sleep 1000000'), {
        apps: [
          { name: 'web', ...sleeper },
          { name: 'db', ...sleeper },
        ],
      });
      await start(pod);
      const units = [
        ...pod.services.map(({ unit }) => unit),
        ...pod.mounts.filter((unit) => unit.includes('holder')),
      ];
      const namespaces = async () => {
        const statuses = await steps(
          ...units.map((unit) => ['start', unit]),
          ...units.map((unit) => ['status', unit]),
        );
        const pids = (statuses.slice(units.length) as UnitStatus[]).map(({ mainPid = 0 }) => mainPid);
        const links = await board.check(
          `for pid in ${pids.join(' ')}; do readlink /proc/$pid/ns/pid /proc/$pid/ns/ipc /proc/$pid/ns/uts | tr '\\n' ' '; echo; done`,
        );
        return { pids, shared: new Set(links.trim().split(/ *\n/)).size === 1 };
      };
      const before = await namespaces();
      expect(before.shared).toBe(true);
      await board.check(`kill -9 ${before.pids[2] ?? 0}`);
      await board.waitFor(
        `for pid in ${before.pids.join(' ')}; do ! kill -0 $pid 2>/dev/null || exit 1; done;
       [ "$(systemctl list-units --plain --no-legend --state=running 'wherry-*duo*.service' | wc -l)" = 3 ]`,
      );
      const after = await namespaces();
      expect(after.shared).toBe(true);
      expect(after.pids).not.toEqual(before.pids);
      await steps(...units.map((unit) => ['stop', unit]));
    },
  );

  itOnce(name)('reports how a service ended that systemd forgets as soon as it has failed', async () => {
    const commands = {
      success: '/usr/bin/true',
      code: '/usr/bin/false',
      kill: `/bin/sh -c "kill -KILL $$$$"`,
      ...(board.lacks.controllers === undefined ? { hog: '/usr/bin/tail /dev/zero' } : {}),
    };
    for (const [end, command] of Object.entries(commands)) {
      const lines = ['[Unit]', 'CollectMode=inactive-or-failed', '[Service]', 'Type=oneshot'];
      lines.push('MemoryMax=16M', 'MemorySwapMax=0', `ExecStart=${command}`, '');
      await board.copyIn(Buffer.from(lines.join('\n')), `/run/systemd/system/wherry-${end}.service`);
    }
    const runs = Object.keys(commands).map((end) => ['run', `wherry-${end}.service`]);
    const [, ...ends] = await steps(['reload'], ...runs);
    expect(ends).toEqual(['done', 'exit-code', 'signal', 'oom-kill'].slice(0, runs.length));
  });

  itOnce(name)('reports why a unit cannot be started [C254]', async () => {
    const [error] = await steps(['start', 'wherry-pod-none.service']);
    expect(error).toContain('not found');
    await board.check(`cd /run/systemd/system
      printf '[Mount]\nWhat=/nonexistent.erofs\nWhere=/mnt/gone\nType=erofs\n' >mnt-gone.mount
      printf '[Unit]\nRequiresMountsFor=/mnt/gone\n[Service]\nExecStart=true\n' >wherry-needs.service`);
    const needs = 'wherry-needs.service';
    const [, result, unmet] = await steps(['reload'], ['start', needs], ['unmet', needs]);
    expect([result, unmet]).toEqual(['dependency', ['mnt-gone.mount']]);
  });
});
