import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { App, PodApp } from '../../../src/image/appc/types.ts';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { emptyMounts } from '../../../src/device/pod/empty-mounts.ts';
import { findInImage } from '../../../src/device/world/image-tree.ts';
import { checkPrograms, checkWorkingDirectory } from '../../../src/device/world/programs.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

let programs: string;
let root: string;

/** Programs built by Debian's cross compilers. */
const compilers = {
  arm: 'arm-linux-gnueabihf-gcc',
  arm64: 'aarch64-linux-gnu-gcc',
  x86: 'x86_64-linux-gnu-gcc',
};
type Machine = keyof typeof compilers;
/** The loader of each. */
const loaders = {
  'lib/ld-linux-armhf.so.3': 'arm',
  'lib/ld-linux-aarch64.so.1': 'arm64',
  'lib64/ld-linux-x86-64.so.2': 'x86',
};

beforeAll(() => {
  programs = mkdtempSync(join(tmpdir(), 'programs-'));
  for (const [machine, compiler] of Object.entries(compilers)) {
    const args = ['-x', 'c', '-', '-o', join(programs, machine)];
    execFileSync(compiler, args, { input: 'int main(void) { return 0; }' });
  }
});
afterAll(() => rmSync(programs, { recursive: true }));
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'image-'));
  for (const [path, machine] of Object.entries(loaders)) put(path, machine);
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, content: Buffer | string, mode = 0o755, layer = root): void {
  const file = join(layer, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(
    file,
    typeof content === 'string' && content in compilers ? readFileSync(join(programs, content)) : content,
  );
  chmodSync(file, mode);
}

function link(path: string, target: string, layer = root): void {
  mkdirSync(dirname(join(layer, path)), { recursive: true });
  symlinkSync(target, join(layer, path));
}

interface Case {
  readonly exec: readonly string[];
  readonly app?: Partial<App>;
  readonly mounts?: readonly string[];
  readonly roots?: readonly string[];
  readonly architectures?: readonly string[];
}

const [podApp] = parsePodManifest(
  Buffer.from(
    JSON.stringify({
      acKind: 'PodManifest',
      acVersion: '0.8.11',
      apps: [{ name: 'web', image: { id: `sha512-${'a'.repeat(128)}` } }],
    }),
  ),
).apps;

function checked({ exec, app, mounts = [], roots = [root], architectures = ['aarch64'] }: Case) {
  if (podApp === undefined) throw new Error('the pod manifest has an app');
  const whole: App = {
    exec,
    user: '0',
    group: '0',
    supplementaryGids: [],
    eventHandlers: [],
    workingDirectory: '/',
    environment: [],
    isolators: [],
    mountPoints: [],
    ports: [],
    ...app,
  };
  const mounted: PodApp = { ...podApp, mounts: mounts.map((path) => ({ path, volume: podApp.name })) };
  return { roots, podApp: mounted, app: whole, architectures, empty: [] };
}

/** The refusal's sentence, or undefined when the app may run. */
async function judged(one: Case, code = 'image-arch-mismatch'): Promise<string | undefined> {
  try {
    await checkPrograms(checked(one));
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    expect(error.code).toBe(code);
    return error.message;
  }
}

describe('[A12.4] [C271] the working directory of an app', () => {
  const check = (workingDirectory: string, mounts: readonly string[] = []) =>
    checkWorkingDirectory(checked({ exec: ['/x'], app: { workingDirectory }, mounts }));
  beforeEach(() => {
    put('srv/www/index.html', 'text');
    link('link', '/srv');
  });

  it.each<[string, string[]]>([
    ['/', []],
    ['/srv/www/', []],
    ['/link/./www', []],
    ['/proc/self', []],
    // A volume is mounted there, or may have the directory later.
    ['/data', ['/data']],
    ['/data/a', ['/data/']],
    ['/data', ['/data/a']],
    ['/link/data/a', ['/srv/data']],
    ['/srv/data/a', ['/link/data']],
  ])('may be %s with volumes at %j', async (directory, mounts) => {
    await expect(check(directory, mounts)).resolves.toBeUndefined();
  });

  it.each<[string, string[]]>([
    ['/nowhere', []],
    ['/srv/www/index.html', []],
    ['/srv/www/index.html/x', []],
    ['/link/nowhere', ['/link/other', '/srv/nowhere-else']],
  ])('is refused at %s, where it would be made, with volumes at %j', async (directory, mounts) => {
    await expect(check(directory, mounts)).rejects.toMatchObject({
      code: 'pod-manifest-invalid',
      message: `app web: its working directory ${directory} is not a directory of the image; make it there, or mount a volume`,
    });
  });
});

describe("an app's program is checked before anything is stopped [C38] [A8.6]", () => {
  it.each<[Machine, string[], boolean]>([
    ['arm64', ['aarch64'], true],
    ['arm', ['armv7l', 'armv6l'], true],
    ['arm', ['armv6l'], true],
    ['arm', ['aarch64', 'armv7l', 'armv6l'], true],
    ['arm', ['aarch64'], false],
    ['arm64', ['armv7l', 'armv6l'], false],
    ['x86', ['aarch64'], false],
    ['x86', ['amd64'], true],
  ])('a program for %s on a device that runs %j: %s', async (machine, architectures, runs) => {
    put('bin/app', machine);
    expect((await judged({ exec: ['/bin/app'], architectures })) === undefined).toBe(runs);
  });

  it('the message names app, file, kind of program, device and what to do', async () => {
    put('bin/app', 'x86');
    expect(await judged({ exec: ['/bin/app'] })).toBe(
      'app web: /bin/app in its image is a program for 64-bit x86; this device runs aarch64. Deploy an image that was built for it',
    );
  });

  it('a damaged program is refused', async () => {
    put('bin/app', readFileSync(join(programs, 'arm64')).subarray(0, 40));
    expect(await judged({ exec: ['/bin/app'] })).toContain('is a damaged ELF file');
  });

  it('the programs of event handlers are checked too (aci.md, eventHandlers)', async () => {
    put('bin/app', 'arm64');
    put('bin/prepare', 'x86');
    const app = { eventHandlers: [{ name: 'pre-start' as const, exec: ['/bin/prepare'] }] };
    expect(await judged({ exec: ['/bin/app'], app })).toContain('/bin/prepare');
  });

  it('the loader of a program is checked', async () => {
    put('bin/app', 'arm64');
    put('lib/ld-linux-aarch64.so.1', 'x86');
    expect(await judged({ exec: ['/bin/app'] })).toContain('/lib/ld-linux-aarch64.so.1');
  });

  it('other formats are left to the kernel', async () => {
    put('bin/app', 'print("binfmt_misc")');
    expect(await judged({ exec: ['/bin/app'] })).toBeUndefined();
  });
});

describe('a program that is missing is refused before anything is stopped [C376]', () => {
  const missing = (one: Case) => judged(one, 'pod-app-missing');

  it('by its path, by its name, at the end of a link, and where links form a circle', async () => {
    link('bin/dangling', '/opt/app');
    link('bin/circle', 'circle');
    for (const path of ['/bin/app', '/bin/dangling', '/bin/circle', '/lib/ld-linux-armhf.so.3/app'])
      expect(await missing({ exec: [path] })).toBe(
        `app web: cannot execute its program ${path}: it is not in its image`,
      );
    const app = { environment: [{ name: 'PATH', value: '/bin:/usr/bin' }] };
    expect(await missing({ exec: ['app'], app })).toBe(
      'app web: cannot execute its program app: it is not in its image, in no directory of PATH (/bin:/usr/bin)',
    );
  });

  it('also the interpreter of a script, and the loader of a program', async () => {
    put('bin/script', '#!/bin/bash\n');
    expect(await missing({ exec: ['/bin/script'] })).toBe(
      'app web: cannot execute /bin/bash, which /bin/script needs: it is not in its image',
    );
    put('bin/app', 'arm64');
    rmSync(join(root, 'lib/ld-linux-aarch64.so.1'));
    expect(await missing({ exec: ['/bin/app'] })).toBe(
      'app web: cannot execute /lib/ld-linux-aarch64.so.1, which /bin/app needs: it is not in its image',
    );
  });

  it('like a file that the kernel would not execute', async () => {
    put('bin/app', 'arm64', 0o644);
    expect(await missing({ exec: ['/bin/app'] })).toBe(
      'app web: cannot execute its program /bin/app: its mode does not allow it; chmod +x',
    );
    put('bin/script', '#!/bin/app\n');
    expect(await missing({ exec: ['/bin/script'] })).toContain('/bin/app, which /bin/script needs: its mode');
    execFileSync('mkfifo', [join(root, 'fifo')]);
    for (const path of ['/fifo', '/bin'])
      expect(await missing({ exec: [path] })).toBe(
        `app web: cannot execute its program ${path}: it is not a file`,
      );
  });

  it('unless a volume, the runtime or an earlier program may have made it', async () => {
    link('bin/volume', '/data/bin/app');
    for (const path of ['/data/bin/app', '/bin/volume'])
      expect(await missing({ exec: [path], mounts: ['/data'] })).toBeUndefined();
    const app = { environment: [{ name: 'PATH', value: '/bin:/data/bin' }] };
    expect(await missing({ exec: ['app'], app, mounts: ['/data'] })).toBeUndefined();
    // The image has no /data, and the volume is the directory from which the path leads up.
    put('bin/up', 'arm64');
    const inVolume = { workingDirectory: '/data' };
    expect(await missing({ exec: ['../bin/up'], app: inVolume, mounts: ['/data'] })).toBeUndefined();
    expect(await missing({ exec: ['/proc/self/exe'] })).toBeUndefined();
    put('bin/make', 'arm64');
    const handled = (name: 'pre-start' | 'post-stop', exec: string) => ({
      eventHandlers: [{ name, exec: [exec] }],
    });
    expect(await missing({ exec: ['/bin/app'], app: handled('pre-start', '/bin/make') })).toBeUndefined();
    expect(await missing({ exec: ['/bin/make'], app: handled('post-stop', '/bin/app') })).toBeUndefined();
    expect(await missing({ exec: ['/bin/make'], app: handled('pre-start', '/bin/app') })).toContain(
      '/bin/app',
    );
  });
});

describe("[A3.7] an app's program is found as the runtime finds it", () => {
  it.each<[string, Partial<App>]>([
    ['app', { environment: [{ name: 'PATH', value: '/nowhere:/opt/bin:/usr/bin' }] }],
    ['app', { environment: [{ name: 'PATH', value: 'bin' }], workingDirectory: '/opt' }],
    ['bin/app', { workingDirectory: '/opt' }],
    ['./app', { workingDirectory: '/opt/bin' }],
    ['/opt//lib/../bin/./app', {}],
  ])('%j with %j', async (name, app) => {
    put('opt/bin/app', 'x86');
    mkdirSync(join(root, 'opt/lib'));
    expect(await judged({ exec: [name], app })).toContain('/opt/bin/app');
  });

  it('in the default PATH if it sets none (ace.md, environment), past non-executables', async () => {
    put('usr/local/bin/app', 'x86', 0o644);
    put('usr/sbin/app/file', 'x86');
    put('usr/bin/app', 'arm64');
    put('bin/app', 'x86');
    expect(await judged({ exec: ['app'] })).toBeUndefined();
    rmSync(join(root, 'usr/bin/app'));
    expect(await judged({ exec: ['app'] })).toContain('/bin/app');
  });

  it('a script is followed to its interpreter, once (execve(2))', async () => {
    put('bin/sh', 'x86');
    put('bin/app', '#! /bin/sh -e\nexit\n');
    expect(await judged({ exec: ['/bin/app'] })).toContain('/bin/sh');
    put('bin/outer', '#!/bin/app\n');
    expect(await judged({ exec: ['/bin/outer'] })).toBeUndefined();
  });

  it('a file hidden by a volume or the runtime is not checked', async () => {
    put('data/bin/app', 'x86');
    put('dev/app', 'x86');
    link('current', '/data/bin');
    link('volume', 'data');
    expect(await judged({ exec: ['/current/app'] })).toContain('/data/bin/app');
    expect(await judged({ exec: ['/current/app'], mounts: ['/data'] })).toBeUndefined();
    expect(await judged({ exec: ['/current/app'], mounts: ['/volume'] })).toBeUndefined();
    expect(await judged({ exec: ['/current/app'], mounts: ['/dat'] })).toBeDefined();
    expect(await judged({ exec: ['/dev/app'] })).toBeUndefined();
  });
});

describe('an empty volume over a program of its app is refused [C293]', () => {
  interface Written {
    readonly name?: string;
    readonly exec?: readonly string[];
    readonly handlers?: readonly object[];
    readonly environment?: readonly object[];
    readonly mounts?: readonly (readonly [volume: string, path: string])[];
    readonly mountPoints?: readonly object[];
  }

  /** The first refusal of an app, or undefined when all may run. */
  async function refused(apps: readonly Written[], pod: object = {}): Promise<string | undefined> {
    const manifest = parsePodManifest(
      Buffer.from(
        JSON.stringify({
          ...{ acKind: 'PodManifest', acVersion: '0.8.11', volumes: [{ name: 'tools', kind: 'empty' }] },
          apps: apps.map(({ name = 'web', exec = ['/usr/bin/app'], ...more }) => ({
            ...{ name, image: { id: `sha512-${'a'.repeat(128)}` } },
            app: {
              ...{ exec, user: '0', group: '0', eventHandlers: more.handlers ?? [] },
              ...{ environment: more.environment ?? [], mountPoints: more.mountPoints ?? [] },
            },
            mounts: (more.mounts ?? []).map(([volume, path]) => ({ volume, path })),
          })),
          ...pod,
        }),
      ),
    );
    const placed = manifest.apps.flatMap((one) =>
      one.app === undefined ? [] : { podApp: one, app: one.app },
    );
    try {
      for (const one of placed) {
        const empty = emptyMounts(one, placed, manifest);
        await checkPrograms({ ...one, roots: [root], architectures: ['aarch64'], empty });
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      expect(error.code).toBe('pod-volume-invalid');
      return error.message;
    }
  }
  const sentence = (target: string, what: string) =>
    `app web: the volume tools at ${target} is empty when it starts and hides ${what}; mount the volume elsewhere`;
  const over = (path: string): readonly (readonly [string, string])[] => [['tools', path]];
  const annotated = (name: string, value: string) => ({ annotations: [{ name, value }] });
  const prepare = { name: 'pre-start', exec: ['/sbin/prepare'] };

  beforeEach(() => {
    put('usr/bin/app', 'arm64');
    put('usr/bin/run', '#!/bin/sh\n');
    put('sbin/sh', 'arm64');
    put('sbin/prepare', 'arm64');
    put('lib/ld-linux-aarch64.so.1', 'arm64');
    link('bin', 'sbin');
    link('opt/app/current', '/usr/bin');
  });

  it.each<[string, Written, string, string]>([
    ['its directory', { mounts: over('/usr/bin') }, '/usr/bin', 'its program /usr/bin/app'],
    ['a directory above', { mounts: over('/usr/') }, '/usr', 'its program /usr/bin/app'],
    ['a link to its directory', { exec: ['sh'], mounts: over('/bin') }, '/bin', 'its program /sbin/sh'],
    [
      'a link that leads to it',
      { exec: ['/opt/app/current/app'], mounts: over('/opt/app') },
      ...(['/opt/app', 'its program /usr/bin/app'] as const),
    ],
    [
      'a mount point',
      { mountPoints: [{ name: 'tools', path: '/usr/bin' }] },
      '/usr/bin',
      'its program /usr/bin/app',
    ],
    ['a program in PATH', { exec: ['app'], mounts: over('/usr') }, '/usr', 'its program /usr/bin/app'],
    [
      'the interpreter of a script',
      { exec: ['/usr/bin/run'], mounts: over('/sbin') },
      ...(['/sbin', '/sbin/sh, which /usr/bin/run needs'] as const),
    ],
    ['a loader', { mounts: over('/lib') }, '/lib', '/lib/ld-linux-aarch64.so.1, which /usr/bin/app needs'],
    [
      'the loader of an interpreter',
      { exec: ['/usr/bin/run'], mounts: over('/lib') },
      ...(['/lib', '/lib/ld-linux-aarch64.so.1, which /sbin/sh needs'] as const),
    ],
    [
      'the program of a pre-start handler',
      { handlers: [prepare], mounts: over('/sbin') },
      ...(['/sbin', 'its program /sbin/prepare'] as const),
    ],
  ])('over %s', async (_, app, target, what) => {
    expect(await refused([app])).toBe(sentence(target, what));
  });

  it('also if it is memory, which a handler fills only for itself', async () => {
    const memory = annotated('wherry/memory-volumes', 'tools=1Mi');
    const hidden = sentence('/usr/bin', 'its program /usr/bin/app');
    expect(await refused([{ mounts: over('/usr/bin'), handlers: [prepare] }], memory)).toBe(hidden);
  });

  it('also if neither a handler nor another app can write to it', async () => {
    const volumes = [{ name: 'tools', kind: 'empty', readOnly: true }];
    const web: Written = { mounts: over('/usr/bin'), handlers: [prepare] };
    const other: Written = { name: 'other', exec: ['/sbin/sh'] };
    const hidden = sentence('/usr/bin', 'its program /usr/bin/app');
    expect(await refused([web, { ...other, mounts: over('/mnt') }], { volumes })).toBe(hidden);
    const mountPoints = [{ name: 'tools', path: '/mnt', readOnly: true }];
    expect(await refused([{ mounts: over('/usr/bin') }, { ...other, mountPoints }])).toBe(hidden);
    expect(await refused([{ mounts: over('/usr/bin') }, other])).toBe(hidden);
  });

  it.each<[string, readonly Written[], object?]>([
    ['a pre-start handler', [{ mounts: over('/usr/bin'), handlers: [prepare] }]],
    [
      'another app',
      [{ name: 'setup', exec: ['/sbin/sh'], mounts: over('/out') }, { mounts: over('/usr/bin') }],
    ],
    ['an earlier pod', [{ mounts: over('/usr/bin') }], annotated('wherry/kept-volumes', 'tools')],
    [
      'the host',
      [{ mounts: over('/usr/bin') }],
      { volumes: [{ name: 'tools', kind: 'host', source: '/srv/tools' }] },
    ],
  ])('not if %s may have filled it', async (_, apps, pod) => {
    expect(await refused(apps, pod)).toBeUndefined();
  });

  it('not if only the program of a post-stop handler is hidden', async () => {
    const handlers = [{ name: 'post-stop', exec: ['/sbin/prepare'] }];
    expect(await refused([{ handlers, mounts: over('/sbin') }])).toBeUndefined();
  });

  it('not if PATH has the program in another directory, or in a volume with content', async () => {
    const search = (value: string, more: object = {}, mounts = over('/usr/bin')) =>
      refused([{ exec: ['app'], environment: [{ name: 'PATH', value }], mounts }], more);
    put('opt/app/app', 'arm64');
    expect(await search('/usr/bin')).toBe(sentence('/usr/bin', 'its program /usr/bin/app'));
    expect(await search('/usr/bin:/opt/app')).toBeUndefined();
    const volumes = [
      { name: 'tools', kind: 'empty' },
      { name: 'data', kind: 'host', source: '/srv' },
    ];
    const both: readonly (readonly [string, string])[] = [
      ['tools', '/usr/bin'],
      ['data', '/data'],
    ];
    expect(await search('/usr/bin:/data/bin', { volumes }, both)).toBeUndefined();
    expect(await search('/usr/bin:/srv/bin', { volumes }, both)).toBeDefined();
  });
});

describe('[A10.1] a path in an image (path_resolution(7))', () => {
  const find = async (path: string, roots = [root]) => (await findInImage(roots, path))?.path;

  it('is resolved through links within the image', async () => {
    put('usr/bin/app', 'arm64');
    link('bin', 'usr/bin');
    link('usr/bin/absolute', '/bin/app');
    link('usr/bin/climbing', '../../../../usr/./bin//app');
    for (const path of ['/bin/app', '/bin/absolute', '/bin/climbing', '/bin/../bin/app', '/../bin/app']) {
      expect(await find(path)).toBe('/usr/bin/app');
    }
  });

  it('never leads out of it', async () => {
    link('etc', '/etc');
    link('up', '../../../../../../../../etc');
    link('host', programs);
    for (const path of [
      '/etc/passwd',
      '/up/passwd',
      '/../../etc/passwd',
      '/host/arm64',
      `${programs}/arm64`,
    ]) {
      expect(await find(path)).toBeUndefined();
    }
  });

  it('is not found if its links are circular or lead through a file', async () => {
    link('a', 'b');
    link('b', 'a');
    link('deep', `deep/${'x/'.repeat(100)}`);
    put('file', 'text');
    for (const path of ['/a', '/deep', '/file/x', '/file/../file', '/'])
      expect(await find(path)).toBeUndefined();
  });

  it('is found in the uppermost layer that contains it', async () => {
    const [upper, lower] = [join(root, 'upper'), join(root, 'lower')];
    put('usr/bin/app', 'arm64', 0o755, upper);
    put('lib/ld-linux-aarch64.so.1', 'arm64', 0o755, lower);
    put('usr/bin/app', 'x86', 0o755, lower);
    put('usr/bin/only', 'x86', 0o755, lower);
    put('hidden', 'text', 0o644, upper);
    put('hidden/file', 'text', 0o644, lower);
    mkdirSync(join(upper, 'merged'));
    link('merged', programs, lower);
    const roots = [upper, lower];
    expect((await findInImage(roots, '/usr/bin/app'))?.file).toBe(join(upper, 'usr/bin/app'));
    expect((await findInImage(roots, '/usr/bin/only'))?.file).toBe(join(lower, 'usr/bin/only'));
    expect(await find('/hidden/file', roots)).toBeUndefined();
    expect(await find('/merged/arm64', roots)).toBeUndefined();
    expect(await judged({ exec: ['/usr/bin/app'], roots })).toBeUndefined();
    expect(await judged({ exec: ['/usr/bin/only'], roots })).toBeDefined();
  });
});
