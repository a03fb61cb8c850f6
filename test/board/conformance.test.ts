import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceReport } from '../../src/wire/report/index.ts';
import { oneBoard } from './board-choice.ts';
import { type Facts, factsOf, probe } from './conformance/facts.ts';
import { alone, hostVolumes, mounting, pair, run } from './conformance/pods.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** The facts that each process printed about itself. */
type Process = 'root' | 'user' | 'alone' | 'pre-start' | 'post-stop';

const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const url = expect.stringMatching(/^AC_METADATA_URL=http:\/\/127\.0\.0\.1:18112\/[0-9a-f]{64}$/) as string;
const matching = (pattern: RegExp) => expect.stringMatching(pattern) as string;
const containing = (...lines: string[]) => expect.arrayContaining(lines) as readonly string[];
/** The first is /dev/null (1,3). */
const threeDescriptors = ['0 character special file 1,3', '1 socket 0,0', '2 socket 0,0'];
/**
 * The capabilities(7) of the specification's default, and CAP_CHOWN and CAP_KILL, as the kernel
 * prints them.
 */
const [fourteen, two, none] = ['00000000a80425fb', '0000000000000021', '0000000000000000'];

/** A line of the specification, the process that shows it, the fact, and its expected value. */
const rows: readonly (readonly [string, Process, string, unknown])[] = [
  [
    '[A11.5] an empty volume has the specified mode and owner, else 0755 and 0:0',
    'root',
    'volumes',
    containing(
      '/srv/deep/shared directory 777 0:0',
      '/srv/private directory 2750 33:34',
      '/srv/full directory 755 0:0',
    ),
  ],
  ['[A11.5] an empty volume is shared by the apps of its pod', 'user', 'other-file', ['1']],
  ['[A11.6] a host volume includes the mounts below it', 'root', 'below', ['page']],
  [
    '[A12.2] the environment has the four variables',
    'root',
    'environment',
    [path, 'AC_APP_NAME=root', 'container=wherry', url, 'HOME=/root'],
  ],
  [
    '[A12.2] the environment has the variables of the manifest, which cannot override these four',
    'user',
    'environment',
    [path, 'COLOUR=blue and\tgreen', 'AC_APP_NAME=user', 'container=wherry', url, 'HOME=/srv/www'],
  ],
  [
    '[A11.4] the app of the pod manifest replaces that of the image as a whole',
    'alone',
    'environment',
    [path, 'AC_APP_NAME=main', 'container=wherry', 'HOME=/root'],
  ],
  ['[A12.3] an app finds what its pre-start wrote', 'root', 'handed-on', ['kept']],
  ['[A12.4] the working directory is / unless the app names one', 'root', 'cwd', ['/']],
  [
    '[A12.4] [A12.5] the working directory is that of the app, whose program was found in PATH',
    'user',
    'cwd',
    ['/usr'],
  ],
  [
    '[A12.6] [A14.3] user 0 has the 14 capabilities of the default, effective',
    'root',
    'powers',
    [
      'Umask:\t0022',
      'Uid:\t0\t0\t0\t0',
      'Gid:\t0\t0\t0\t0',
      matching(/^Groups:\s*$/),
      `CapInh:\t${none}`,
      `CapPrm:\t${fourteen}`,
      `CapEff:\t${fourteen}`,
      `CapBnd:\t${fourteen}`,
      `CapAmb:\t${none}`,
      'NoNewPrivs:\t0',
      'Seccomp:\t2',
    ],
  ],
  [
    '[A12.6] [A14.3] [A14.4] another user has its ids, the retained capabilities as a bound, and no new privileges',
    'user',
    'powers',
    [
      'Umask:\t0022',
      'Uid:\t33\t33\t33\t33',
      'Gid:\t34\t34\t34\t34',
      matching(/^Groups:\t35\s*$/),
      `CapInh:\t${none}`,
      `CapPrm:\t${none}`,
      `CapEff:\t${none}`,
      `CapBnd:\t${two}`,
      `CapAmb:\t${none}`,
      'NoNewPrivs:\t1',
      'Seccomp:\t2',
    ],
  ],
  [
    '[A12.7] proc, sysfs, devpts and tmpfs are where they must be',
    'root',
    'mounts',
    containing(
      '/ overlay rw',
      '/proc proc rw nosuid nodev noexec',
      '/sys sysfs ro nosuid nodev noexec',
      '/dev/pts devpts rw nosuid noexec',
      '/dev/shm tmpfs rw nosuid nodev noexec',
    ),
  ],
  [
    '[A12.8] the devices of the specification are in /dev, and no other',
    'root',
    'nodes',
    [
      '/dev/console 1,3 666',
      '/dev/full 1,7 666',
      '/dev/null 1,3 666',
      '/dev/random 1,8 666',
      '/dev/tty 5,0 666',
      '/dev/urandom 1,9 666',
      '/dev/zero 1,5 666',
    ],
  ],
  ['[A12.8] /dev/ptmx is that of /dev/pts', 'root', 'ptmx', ['pts/ptmx']],
  [
    '[A12.9] /etc/hosts has localhost and the pod',
    'root',
    'hosts',
    containing('127.0.0.1 localhost', matching(/^10\.173\.0\.\d+ pair$/)),
  ],
  ["[A12.9] the image's own /etc/hosts is kept", 'alone', 'hosts', ['192.0.2.1 of-the-image']],
  [
    '[A12.10] a pod in a bridge has loopback and one interface with an address',
    'root',
    'addresses',
    [matching(/^1: lo +inet 127\.0\.0\.1\/8 /), matching(/^2: eth0 +inet 10\.173\.0\.\d+\/24 /)],
  ],
  [
    '[A12.10] a pod in a bridge has its default route through the host',
    'root',
    'routes',
    containing(matching(/^default via 10\.173\.0\.1 dev eth0/)),
  ],
  [
    '[A12.10] [C112] a pod without a network has only loopback',
    'alone',
    'links',
    [matching(/^1: lo: <[^>]*\bUP\b/)],
  ],
  [
    '[A12.10] [C112] a pod without a network has only the loopback address',
    'alone',
    'addresses',
    [matching(/^1: lo +inet 127\.0\.0\.1\/8 /)],
  ],
  [
    '[A12.11] the journal has the standard output and the standard error of an app',
    'user',
    'errors',
    ['said'],
  ],
  ['[A12.12] files that reveal the host are hidden', 'root', 'readable', []],
  ['[A12.15] an app has three descriptors, and nothing to read', 'root', 'descriptors', threeDescriptors],
  [
    '[A12.15] an app of a pod of one has three descriptors, and nothing to read',
    'alone',
    'descriptors',
    threeDescriptors,
  ],
  ['[A12.16] the host name is that of the pod', 'user', 'hostname', ['pair']],
  [
    '[A11.1] an app sees the processes of its pod, and none of the host',
    'root',
    'processes',
    ['busybox', 'holder'],
  ],
  ['[A12.16] the only app of a pod sees its own processes', 'alone', 'processes', ['busybox']],
  [
    '[A13.1] the mount point of a volume is created with its parents, 0:0 and 0755',
    'root',
    'volumes',
    containing(matching(/^\/srv\/deep directory 1?755 0:0$/)),
  ],
  ['[A13.2] a volume hides the content of the image at its mount point', 'root', 'full', []],
  ['[A13.2] an app without the volume sees that content', 'user', 'full', ['inside']],
  ['[A13.6] a file of the host can be a volume', 'root', 'file', ['content']],
  [
    '[A13.7] [C201] volumes have no set-user-ID programs and no devices',
    'root',
    'mounts',
    containing(
      matching(/^\/srv\/deep\/shared \S+ rw nosuid nodev/),
      matching(/^\/srv\/data \S+ rw nosuid nodev/),
      matching(/^\/srv\/file \S+ ro nosuid nodev/),
    ),
  ],
  [
    '[A11.6] [C201] mounts below a read-only host volume are read-only, too',
    'user',
    'mounts',
    containing(matching(/^\/srv\/data \S+ ro nosuid nodev/), '/srv/data/below tmpfs ro nosuid nodev'),
  ],
  [
    '[A11.6] [C369] a host volume that is not recursive is there',
    'root',
    'mounts',
    containing(matching(/^\/srv\/bare \S+ ro nosuid nodev/)),
  ],
  [
    '[A11.6] [C369] a host volume that is not recursive has no mounts below it',
    'root',
    'mounts',
    expect.not.arrayContaining([matching(/^\/srv\/bare\/below /)]) as readonly string[],
  ],
  ['[A14.6] the OOM score is that of the isolator', 'user', 'score', ['250']],
];

const readOnly = 'Read-only file system';
const denied = 'Permission denied';
const forbidden = 'Operation not permitted';
const busyboxSays = 'permission denied (are you root?)';

/** An action, and its result for user 0 and for the other user. */
const deeds: readonly (readonly [string, string, string, string])[] = [
  ['[A12.1] writing to the root', 'root', 'done', readOnly],
  ['[A12.1] changing the mode of a directory of the image', 'mode', 'done', readOnly],
  ['[A12.1] [A14.3] changing the owner of a directory of the image', 'owner', 'done', readOnly],
  ['[A11.5] writing to an empty volume', 'shared', 'done', 'done'],
  ['[A11.6] writing to a host volume', 'data', 'done', readOnly],
  ['[A11.6] writing to what is mounted below a host volume', 'below', 'done', readOnly],
  ['[A12.13] a setting of the kernel', 'setting', readOnly, denied],
  ['[A12.13] the processors of interrupts', 'interrupts', readOnly, denied],
  ['[A12.13] a file of /sys', 'sysfs', readOnly, denied],
  ['[A12.13] moving a process to another control group', 'cgroup', readOnly, denied],
  ['[A12.8] writing to /dev/full', 'full-device', 'No space left on device', 'No space left on device'],
  ['[A12.14] creating the node of a disk', 'node', forbidden, readOnly],
  ['[A12.14] mounting', 'mount', busyboxSays, busyboxSays],
  ['[A12.14] unmounting what protects the kernel', 'unmount', forbidden, forbidden],
  ['[A12.14] making /sys writable', 'remount', busyboxSays, busyboxSays],
  ['[A12.14] changing the host name', 'hostname', forbidden, forbidden],
  ["[A12.14] reading the kernel's log", 'log', forbidden, forbidden],
  ['[A12.14] adding an address', 'address', forbidden, forbidden],
  ['[A12.14] creating a user namespace', 'namespace', forbidden, forbidden],
  ['[A12.14] raising a limit', 'limit', forbidden, forbidden],
  ['[A12.14] escaping the OOM killer', 'score', denied, denied],
  [
    '[A14.5] a system call that only the other app may not use',
    'directory',
    'done',
    'Invalid cross-device link',
  ],
  ["[A11.3] reading the other app's environment", 'other-environment', denied, denied],
  ["[A11.3] reading the other app's files", 'other-root', denied, denied],
  ["[A11.3] reading the other app's memory", 'other-memory', denied, denied],
  ['[A11.3] signalling the other app', 'other-signal', 'done', forbidden],
];

/** Volumes that the device refuses before anything runs. */
const refusals: readonly (readonly [string, object[], readonly string[], string])[] = [
  [
    '[A13.3] [C200] a volume over a file of the image',
    [{ kind: 'empty' }],
    ['/srv/taken'],
    'the image has something else at /srv/taken',
  ],
  [
    '[A13.4] a volume inside another one',
    [{ kind: 'empty' }, { kind: 'empty' }],
    ['/srv/a', '/srv/a/b'],
    'the mounts at /srv/a and /srv/a/b overlap',
  ],
  [
    '[A13.5] a source that is missing',
    [{ kind: 'host', source: '/srv/missing' }],
    ['/srv/a'],
    '/srv/missing, which is not on this device',
  ],
];

/**
 * Checks the specification line by line (docs/appc-checklist.md) with a program inside the app.
 */
describe.each(oneBoard)('an app on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  let report: DeviceReport;
  const facts = new Map<Process, Facts>();
  const said = (process: Process, fact: string) => facts.get(process)?.get(fact) ?? [];

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    const app = { environment: [{ name: 'OF_IMAGE', value: 'replaced' }] };
    image = await scene.image('busybox', run('image'), {
      app,
      files: [probe, { path: '/srv/full/inside', content: '' }, { path: '/srv/taken', content: '' }],
    });
    const own = await scene.image('busybox', run('image'), {
      ...{ name: 'example.com/own', app },
      files: [probe, { path: '/etc/hosts', content: '192.0.2.1 of-the-image\n' }],
    });
    await scene.board.check(hostVolumes);
    const desired = scene.desired([
      { name: 'pair', image, manifest: pair(image) },
      {
        name: 'alone',
        image: own,
        manifest: alone(),
        app: { app: { exec: run('alone'), user: '0', group: '0' } },
      },
    ]);
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    for (const process of ['root', 'pre-start', 'user'] as const) {
      facts.set(process, await factsOf(scene, 'pair', process === 'user' ? 'user' : 'root', process));
    }
    facts.set('alone', await factsOf(scene, 'alone', 'main', 'alone'));
    report = await scene.report(({ currentVersion }) => currentVersion === desired.version);
    // An emulated board takes minutes to boot, and more for the probe's programs.
  }, 1_200_000);
  afterAll(() => scene.stop());

  it.each(rows)('%s', (_line, process, fact, expected) => {
    expect(said(process, fact)).toEqual(expected);
  });

  it.each(deeds)('%s', (_line, deed, ofRoot, ofUser) => {
    expect([said('root', `deed-${deed}`), said('user', `deed-${deed}`)]).toEqual([[ofRoot], [ofUser]]);
  });

  it('[A11.1] [A11.2] shares only PID, network, IPC and UTS namespaces with the apps of its pod', () => {
    const [root, user, other] = (['root', 'user', 'alone'] as const).map((name) => said(name, 'namespaces'));
    expect(root).toHaveLength(6);
    expect(user?.slice(0, 4)).toEqual(root?.slice(0, 4));
    for (const [index, namespace] of (root ?? []).entries()) {
      if (index > 3) expect(user).not.toContain(namespace);
      expect(other).not.toContain(namespace);
    }
  });

  it('[A12.12] has only the required mounts and its volumes', () => {
    const targets = [...said('root', 'mounts'), ...said('alone', 'mounts')].map((line) => line.split(' ')[0]);
    expect(targets.filter((target) => !/^\/($|(proc|sys|dev|srv)($|\/))/.test(target ?? ''))).toEqual([]);
    expect(said('user', 'mounts').filter((line) => line.startsWith('/srv/'))).toHaveLength(3);
  });

  it('[C112] is reported with its network and its addresses', () => {
    expect(report.pods.map(({ network }) => network)).toEqual([
      { name: 'bridge', addresses: [expect.stringMatching(/^10\.173\.0\./)] },
      { name: 'none', addresses: [] },
    ]);
  });

  it('[A12.3] runs its pre-start handler in the same environment, with the same privileges', () => {
    for (const fact of ['environment', 'powers', 'cwd', 'score', 'descriptors']) {
      expect(said('pre-start', fact), fact).toEqual(said('root', fact));
    }
  });

  it.each(refusals)('%s is refused', async (_line, volumes, paths, message) => {
    const answer = await scene.deploy(
      scene.desired([{ name: 'bad', image, manifest: mounting(image, volumes, paths) }]),
    );
    expect(answer).toMatchObject({
      outcome: 'refused',
      code: 'pod-volume-invalid',
      message: expect.stringContaining(message) as string,
    });
  });

  it('[A12.3] runs its post-stop handler in the same environment, with the same privileges', async () => {
    await scene.board.check('wherry pod stop pair');
    facts.set('post-stop', await factsOf(scene, 'pair', 'root', 'post-stop'));
    for (const fact of ['environment', 'powers', 'cwd', 'score', 'descriptors']) {
      expect(said('post-stop', fact), fact).toEqual(said('root', fact));
    }
    expect(said('post-stop', 'handed-on')).toEqual(['kept', 'written']);
    expect(await scene.board.check('grep " /run/wherry/apps/.*/layer" /proc/1/mountinfo || true')).toBe('');
  });
});
