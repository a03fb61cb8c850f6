import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBoard, type Board } from '../../qemu/index.ts';
import { parseImageId, parseImageManifest, parsePodManifest } from '../../src/image/appc/index.ts';
import { compilePod, type CompiledPod } from '../../src/device/pod/index.ts';
import { podUuid } from '../../src/wire/trust/index.ts';
import { oneBoard } from './board-choice.ts';

const imageId = parseImageId(`sha512-${'cd'.repeat(64)}`);
const machines: Readonly<Record<string, string>> = { arm64: 'arm64', armhf: 'arm', amd64: 'x64' };

/** An app that needs a moment to shut down, like a database. */
const polite = `trap 'sleep 0.1; echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done`;

/** How systemd treats the process of an app, without wherryd. */
describe.each(oneBoard)('starts of apps on %s', (name) => {
  let board: Board;
  /** Emulated boards take seconds for each start. */
  const rounds = Number(process.env['WHERRY_STARTS'] ?? (name === 'native' ? 20 : 5));

  beforeAll(async () => {
    board = await startBoard({ board: name });
    await board.check(`set -e
      mkdir -p /run/tree/rootfs/bin /var/lib/wherry/images
      cp "$(command -v busybox)" /run/tree/rootfs/bin/busybox
      for name in sh sleep chroot cat wc; do ln -s busybox /run/tree/rootfs/bin/$name; done
      mkfs.erofs --quiet /var/lib/wherry/images/${imageId}.erofs /run/tree >/dev/null`);
  });
  afterAll(() => board.stop());

  interface AppOptions {
    readonly restart?: string;
    readonly isolators?: readonly object[];
    readonly eventHandlers?: readonly object[];
    readonly settings?: Readonly<Record<string, string>>;
    /** The command to run instead of a shell with the script. */
    readonly exec?: readonly string[];
  }
  const app = (script: string, options: AppOptions = {}) => ({
    image: { id: imageId },
    app: {
      exec: options.exec ?? ['/bin/sh', '-c', script],
      user: '0',
      group: '0',
      isolators: options.isolators ?? [],
      eventHandlers: options.eventHandlers ?? [],
    },
    annotations: Object.entries({ 'wherry/restart': options.restart ?? 'no', ...options.settings }).map(
      ([annotation, value]) => ({ name: annotation, value }),
    ),
  });

  /** Compiles a pod, and writes it where wherryd would. */
  const install = async (
    podName: string,
    apps: readonly object[],
    crunPath = '/usr/bin/crun',
  ): Promise<CompiledPod> => {
    const bytes = Buffer.from(
      JSON.stringify({
        acVersion: '0.8.11',
        acKind: 'PodManifest',
        apps: apps.map((app, index) => ({ name: `app${index}`, ...app })),
      }),
    );
    const manifest = parseImageManifest(
      Buffer.from(JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/b' })),
    );
    const image = { id: imageId, manifest, layers: [imageId], passwd: '', group: '', owners: new Map() };
    const pod = compilePod({
      name: podName,
      uuid: podUuid(podName, bytes),
      manifest: parsePodManifest(bytes),
      images: new Map([[imageId, image]]),
      host: {
        controllers: [],
        crunPath,
        cpuCount: 2,
        memoryBytes: 512 << 20,
        limits: 'best-effort',
        holderPath: '/usr/bin/catatonit',
        machine: machines[board.arch] ?? board.arch,
        directories: {
          images: '/var/lib/wherry/images',
          pods: '/var/lib/wherry/pods',
          volumes: '/var/lib/wherry/volumes',
          run: '/run/wherry',
        },
      },
    });
    const files = [
      ...pod.units.map((unit) => ({ path: `/etc/systemd/system/${unit.name}`, content: unit.text })),
      ...pod.files.map(({ path, content }) => ({
        path: `/var/lib/wherry/pods/${pod.uuid}/${path}`,
        content,
      })),
    ];
    const lines = files.map(({ path, content }) => {
      const encoded = Buffer.from(content).toString('base64');
      return `mkdir -p "$(dirname '${path}')"; echo ${encoded} | base64 -d >'${path}'`;
    });
    await board.check(['set -e', ...lines, 'systemctl daemon-reload'].join('\n'));
    return pod;
  };

  const unitsOf = (pod: CompiledPod) => pod.services.map(({ unit }) => `'${unit}'`).join(' ');
  const journalOf = (pod: CompiledPod, more = '') =>
    `journalctl -b -q -o cat WHERRY_POD=${pod.name} _TRANSPORT=stdout ${more}`;

  /**
   * Starts and stops all apps of a pod many times; each stop waits until the apps can handle the
   * signal.
   */
  const startAndStop = async (
    pod: CompiledPod,
    rounds: number,
  ): Promise<{ byes: number; slow: number; strangers: number }> => {
    const output = await board.check(
      `said() { ${journalOf(pod)} | grep -cx "$1" || true; }
       slow=0; apps=${pod.services.length}
       for round in $(seq ${rounds}); do
         systemctl start ${unitsOf(pod)} || exit
         until [ "$(said up)" -ge $((round * apps)) ]; do sleep 0.05; done
         systemctl stop ${unitsOf(pod)}
         for unit in ${unitsOf(pod)}; do
           [ "$(systemctl show -P Result "$unit")" = success ] || slow=$((slow + 1))
         done
       done
       journalctl --sync
       echo "$(said bye) $slow $(journalctl -b -q -o cat _PID=1 | grep -c 'not our child')"`,
      { timeoutMs: 600_000 },
    );
    const [byes = -1, slow = -1, strangers = -1] = output.trim().split(' ').map(Number);
    return { byes, slow, strangers };
  };

  it('let an app end by itself at every stop', async () => {
    const pod = await install('polite', [app(polite)]);
    expect(await startAndStop(pod, rounds)).toEqual({ byes: rounds, slow: 0, strangers: 0 });
  }, 660_000);

  it('let two apps with a holder end by themselves at every stop', async () => {
    const pod = await install('duo', [app(polite), app(polite)]);
    const half = Math.ceil(rounds / 2);
    expect(await startAndStop(pod, half)).toEqual({ byes: 2 * half, slow: 0, strangers: 0 });
  }, 660_000);

  it.each([
    ['exit 0', 'no', 'inactive success 0'],
    ['exit 7', 'no', 'failed exit-code 7'],
    ['exit 0', 'on-failure', 'inactive success 0'],
  ])('report how an app ended at once: %s under %s', async (script, restart, outcome) => {
    const pod = await install(`quick${script.replaceAll(/\W/g, '')}${restart.replace('-', '')}`, [
      app(script, { restart }),
    ]);
    const unit = unitsOf(pod);
    // systemd unloads a unit that has ended well, unless an active unit refers to it.
    await board.check(
      `printf '[Unit]\\nAfter=%s\\n' ${unit} >/run/systemd/system/keeper-${pod.name}.target
       systemctl daemon-reload && systemctl start keeper-${pod.name}.target`,
    );
    for (let round = 0; round < Math.min(rounds, 10); round++) {
      await board.check(`systemctl start ${unit} || true`);
      await board.waitFor(
        `systemctl show -P ExecMainExitTimestampMonotonic,ActiveState ${unit}`,
        ({ stdout }) => /^[1-9]\d*$/m.test(stdout) && /^(failed|inactive)$/m.test(stdout),
      );
      const told = await board.check(
        `for p in ActiveState Result ExecMainStatus NRestarts; do systemctl show -P $p ${unit}; done`,
      );
      expect(told.trim().split('\n').join(' ')).toBe(`${outcome} 0`);
      await board.check(`systemctl reset-failed ${unit} 2>/dev/null; true`);
    }
  });

  it('restart an app that failed at once', async () => {
    const pod = await install('again', [app('exit 7', { restart: 'on-failure' })]);
    await board.check(`systemctl start ${unitsOf(pod)} || true`);
    await board.waitFor(`systemctl show -P NRestarts ${unitsOf(pod)}`, ({ stdout }) => Number(stdout) >= 2);
    await board.check(`systemctl stop ${unitsOf(pod)}`);
  });

  /** Puts a crun on the board that first runs `script` when its command is `command`. */
  const crunThat = async (name: string, command: string, script: string): Promise<string> => {
    const text = `#!/bin/sh\ncase " $* " in *" ${command} "*) ${script} ;; esac\nexec crun "$@"\n`;
    await board.copyIn(Buffer.from(text), `/root/${name}`, 0o755);
    return `/root/${name}`;
  };

  it('end an app whose container crun does not start, with the message of crun', async () => {
    const crun = await crunThat('crun-without-start', 'start', 'echo "no such state" >&2; exit 1');
    const pod = await install('broken', [app(polite)], crun);
    const unit = unitsOf(pod);
    await board.run(`systemctl start ${unit}`);
    await board.waitFor(`systemctl is-failed ${unit}`);
    await board.check('journalctl --sync');
    const told = await board.check(
      `systemctl show -P Result ${unit}; ${journalOf(pod)}; journalctl -b -o cat _PID=1 UNIT=${unit}`,
    );
    expect(told).toMatch(/^signal\n/);
    expect(told).toContain('no such state');
    expect(told).toContain(`crun did not start ${pod.uuid}-app0`);
    // The created process ignores the stop signal. Ending it did not take the stop timeout.
    expect(told).not.toContain('timed out');
  });

  it.each([
    ['create', 'TERM', 'exit-code'],
    ['create', 'INT', 'exit-code'],
    ['create', 'WINCH', 'exit-code'],
    ['start', 'TERM', 'signal'],
    ['start', 'INT', 'signal'],
    ['start', 'WINCH', 'signal'],
  ])('end an app at once when crun %s runs and SIG%s comes [C294]', async (command, signal, result) => {
    const reached = `/run/at-${command}-${signal}`;
    const late = `touch ${reached}; until test -e ${reached}.stop; do sleep 0.1; done`;
    const crun = await crunThat(`crun-late-${command}-${signal}`, command, late);
    const pod = await install(
      `prompt${command}${signal.toLowerCase()}`,
      [app(polite, { settings: { 'wherry/stop-signal': `SIG${signal}` } })],
      crun,
    );
    await board.check(`systemctl start --no-block ${unitsOf(pod)}`);
    await board.waitFor(`test -e ${reached}`);
    await board.check(`systemctl stop --no-block ${unitsOf(pod)}`);
    await board.waitFor(`! systemctl show -P ActiveState ${unitsOf(pod)} | grep -qx 'activating\\|active'`);
    await board.check(`touch ${reached}.stop`);
    const stop = await stopped(pod);
    expect(stop.result).toBe(result);
    expect(stop.lines).not.toContain('timed out');
    expect(stop.lines).not.toContain('up\n');
  });

  /** How a stop of the only app of `pod` ended, and what systemd and the app wrote. */
  const stopped = async (pod: CompiledPod): Promise<{ result: string; lines: string }> => {
    const unit = unitsOf(pod);
    // wherryd would reset the result later. systemd unloads a unit that has ended well.
    const result = await board.check(
      `systemctl stop ${unit}; systemctl show -P Result ${unit}; systemctl reset-failed ${unit} || true; journalctl --sync`,
    );
    const lines = await board.check(`${journalOf(pod)}; journalctl -b -o cat _PID=1 UNIT=${unit}`);
    return { result: result.trim(), lines };
  };

  it('end an app at once if it has no handler for its stop signal [C133]', async () => {
    const pod = await install('deaf', [app('', { exec: ['/bin/sleep', '1000'] })]);
    await board.check(`systemctl start ${unitsOf(pod)}`);
    const { result, lines } = await stopped(pod);
    expect(result).toBe('signal');
    expect(lines).toContain('process 1 has no handler for SIGTERM');
    expect(lines).not.toContain('timed out');
  });

  it('end an app that runs once as any other [C316]', async () => {
    const once = { settings: { 'wherry/once': 'true' } };
    const deaf = await install('oncedeaf', [app('echo up; exec sleep 1000', once)]);
    await board.check(`systemctl start --no-block ${unitsOf(deaf)}`);
    await board.waitFor(journalOf(deaf), ({ stdout }) => stdout.includes('up'));
    const killed = await stopped(deaf);
    expect(killed.result).toBe('signal');
    expect(killed.lines).toContain('process 1 has no handler for signal 15');
    expect(killed.lines).not.toContain('timed out');

    const pod = await install('oncepolite', [app(polite, once)]);
    await board.check(`systemctl start --no-block ${unitsOf(pod)}`);
    await board.waitFor(journalOf(pod), ({ stdout }) => stdout.includes('up'));
    const ended = await stopped(pod);
    expect(ended.result).toBe('success');
    expect(ended.lines).toContain('bye');
  });

  it.each([
    ['with a handler for the stop signal', 'TERM', polite, 'exit-code', 'bye'],
    ['without one', 'TERM', 'echo up; exec sleep 1000', 'signal', 'no handler for signal 15'],
    ['without one, and SIGWINCH', 'WINCH', 'echo up; exec sleep 1000', 'signal', 'no handler for signal 28'],
  ])('stop an app during its pre-start handler %s [C317]', async (_, signal, script, result, line) => {
    const handler = { name: 'pre-start', exec: ['/bin/sh', '-c', script] };
    const settings = { 'wherry/stop-signal': `SIG${signal}` };
    const pod = await install(`during${result.replace('-', '')}${signal.toLowerCase()}`, [
      app('echo begun', { eventHandlers: [handler], settings }),
    ]);
    await board.check(`systemctl start --no-block ${unitsOf(pod)}`);
    await board.waitFor(journalOf(pod), ({ stdout }) => stdout.includes('up'));
    const stop = await stopped(pod);
    expect(stop.result).toBe(result);
    expect(stop.lines).toContain(line);
    expect(stop.lines).not.toMatch(/timed out|^begun$/m);
  });

  it('wait for no stop timeout when an app is stopped right after its start [C133]', async () => {
    const pod = await install('abrupt', [app(polite)]);
    const lines: string[] = [];
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      await board.check(`systemctl start ${unitsOf(pod)}`);
      const stop = await stopped(pod);
      expect(stop.result).toMatch(/^(success|signal)$/);
      lines.push(stop.lines);
    }
    expect(lines.join('\n')).not.toContain('timed out');
  });

  it('kill a post-stop handler that does not end, and start the app again [C263]', async () => {
    const handler = { name: 'post-stop', exec: ['/bin/sh', '-c', 'echo handled; while :; do sleep 1; done'] };
    const pod = await install('endless', [
      app('trap "exit 0" TERM; echo up; while :; do sleep 1; done', {
        ...{ eventHandlers: [handler], settings: { 'wherry/stop-timeout': '2' } },
      }),
    ]);
    for (let round = 0; round < 2; round++) {
      await board.check(`systemctl start ${unitsOf(pod)}`);
      const { result, lines } = await stopped(pod);
      expect(result).toBe('success');
      expect(lines).toContain('handled');
      expect(lines).toContain('the post-stop handler was killed: it took more than 1 s');
      expect(lines).not.toMatch(/remains running|left-over/);
      expect(await board.check('grep " /run/wherry/apps/.*/layer" /proc/1/mountinfo || true')).toBe('');
    }
  });

  it('give a post-stop handler the image when its app has got none [C263]', async () => {
    const failing = `case " $* " in *" overlay "*) [ -e /run/refused ] || { touch /run/refused; exit 1; } ;; esac`;
    await board.copyIn(
      Buffer.from(`#!/bin/sh\n${failing}\nexec /usr/bin/mount "$@"\n`),
      '/root/bin/mount',
      0o755,
    );
    const handler = { name: 'post-stop', exec: ['/bin/sh', '-c', 'echo handled'] };
    const pod = await install('halflaid', [app(polite, { eventHandlers: [handler] })]);
    const unit = unitsOf(pod);
    await board.check(
      `mkdir /run/systemd/system/${unit}.d
       printf '[Service]\\nEnvironment=PATH=/root/bin:/usr/bin\\n' >/run/systemd/system/${unit}.d/mount.conf
       systemctl daemon-reload`,
    );
    expect((await board.run(`systemctl start ${unit}`)).status).not.toBe(0);
    const { lines } = await stopped(pod);
    expect(lines).toContain('handled\n');
    expect(lines).not.toContain('handler failed');
  });

  it('name the handler that failed [C283]', async () => {
    const failing = (name: string, status: number) => ({
      eventHandlers: [{ name, exec: ['/bin/sh', '-c', `exit ${status}`] }],
    });
    const before = await install('unready', [app('echo up', failing('pre-start', 7))]);
    expect((await board.run(`systemctl start ${unitsOf(before)}`)).status).not.toBe(0);
    const { lines } = await stopped(before);
    expect(lines).toContain('the pre-start handler failed: exit status 7; the app is not started\n');
    expect(lines).not.toContain('up\n');

    const after = await install('untidy', [app(polite, failing('post-stop', 137))]);
    await board.check(`systemctl start ${unitsOf(after)}`);
    expect((await stopped(after)).lines).toContain('the post-stop handler failed: exit status 137\n');
  });

  it('let an app shut down that blocks the signal and waits for it', async () => {
    const number = { amd64: 128, arm64: 137, armhf: 177 }[board.arch];
    const wait = `use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); $| = 1; print "up\n";
      my $set = pack("V2", 1 << 14, 0); syscall(${number}, $set, 0, 0, 8); print "bye\n"`;
    // With -e, Perl would open /dev/null, and devices of a host volume have no effect.
    await board.copyIn(Buffer.from(wait), '/run/wait.pl');
    const pod = await install('waiting', [
      {
        ...app('', { exec: ['/bin/chroot', '/host', '/usr/bin/perl', '/run/wait.pl'] }),
        mounts: [{ volume: 'host', path: '/host', appVolume: { name: 'host', kind: 'host', source: '/' } }],
      },
    ]);
    await board.check(`systemctl start ${unitsOf(pod)}`);
    await board.waitFor(`cat /proc/$(systemctl show -P MainPID ${unitsOf(pod)})/syscall`, ({ stdout }) =>
      stdout.startsWith(`${number} `),
    );
    const { result, lines } = await stopped(pod);
    expect(result).toBe('success');
    expect(lines).toContain('bye');
  });

  it('rely on the signal to end an app that is not the first of its PID namespace', async () => {
    const pod = await install('second', [app('', { exec: ['/bin/sleep', '1000'] }), app(polite)]);
    await board.check(`systemctl start ${unitsOf(pod)}`);
    const unit = `'${pod.services[0]?.unit ?? ''}'`;
    expect(await board.check(`systemctl stop ${unit}; systemctl show -P Result ${unit}`)).toBe('success\n');
    await board.check(`systemctl stop ${unitsOf(pod)}`);
  });

  describe('in order', () => {
    /** An app with a host directory that outlives its runs. */
    const kept = (script: string, annotations: Readonly<Record<string, string>>) => ({
      ...app(script),
      annotations: Object.entries(annotations).map(([name, value]) => ({ name, value })),
      mounts: [
        { volume: 'kept', path: '/kept', appVolume: { name: 'kept', kind: 'host', source: '/run/kept' } },
      ],
    });
    const states = async (pod: CompiledPod): Promise<readonly string[]> => {
      const told = await board.check(
        `for unit in ${unitsOf(pod)}; do systemctl show -P ActiveState -P SubState -P Result "$unit" | tr '\\n' ' '; echo; done`,
      );
      return told.trim().split(/ *\n/);
    };

    it('start an app only after one that runs once has succeeded, at its third try [C134]', async () => {
      const pod = await install('ordered', [
        kept(`cat /kept/tries; exec sleep 1000`, { 'wherry/after': 'app1', 'wherry/restart': 'no' }),
        kept(`echo try >>/kept/tries; [ "$(wc -l </kept/tries)" = 3 ]`, { 'wherry/once': 'true' }),
      ]);
      expect(pod.services.map((service) => service.app)).toEqual(['app1', 'app0']);
      await board.check(
        `rm -rf /run/kept; mkdir /run/kept; systemctl start '${pod.services[1]?.unit ?? ''}'`,
      );
      expect(await states(pod)).toEqual(['success active exited', 'success active running']);
      await board.waitFor(journalOf(pod, 'WHERRY_APP=app0'), ({ stdout }) => stdout === 'try\ntry\ntry\n');
      await board.check(`systemctl stop ${unitsOf(pod)}`);
    });

    it('do not start an app when one that runs once has failed for good [C134]', async () => {
      const pod = await install('unordered', [
        kept(`exec sleep 1000`, { 'wherry/after': 'app1', 'wherry/restart': 'no' }),
        kept(`exit 3`, { 'wherry/once': 'true', 'wherry/restart': 'no' }),
      ]);
      const { status, stderr } = await board.run(
        `mkdir -p /run/kept; systemctl start '${pod.services[1]?.unit ?? ''}'`,
      );
      expect(status).not.toBe(0);
      expect(stderr).toContain('dependency');
      expect((await states(pod))[0]).toBe('exit-code failed failed');
      await board.check(`systemctl reset-failed`);
    });
  });

  it('run an app under a filter that permits only its own calls', async () => {
    const set = ['write', 'getppid', 'wait4', 'clock_nanosleep', 'clock_nanosleep_time64', 'nanosleep'];
    const isolators = [{ name: 'os/linux/seccomp-retain-set', value: { set } }];
    const pod = await install('filter', [app('echo through; exec sleep 1000', { isolators })]);
    await board.check(`systemctl start ${unitsOf(pod)}`);
    await board.waitFor(journalOf(pod), ({ stdout }) => stdout.includes('through'));
    await board.check(`systemctl kill -s KILL ${unitsOf(pod)}`);
  });
});
