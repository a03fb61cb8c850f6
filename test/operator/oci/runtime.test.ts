import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAcIdentifier } from '../../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { parseConfig, parseDocument, parseSavedImages } from '../../../src/operator/oci/documents.ts';
import {
  appcArchitecture,
  choosePlatform,
  ociPlatform,
  parsePlatform,
  platformOf,
} from '../../../src/operator/oci/platform.ts';
import { parseRegistryReference } from '../../../src/operator/oci/registry-reference.ts';
import { accountOf } from '../../../src/operator/oci/account.ts';
import { appSettings } from '../../../src/device/pod/settings.ts';
import { manifestOf } from '../../../src/operator/oci/app-manifest.ts';
import { type AppDraft, configOf, runtimeOf } from '../../../src/operator/oci/runtime.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const config = (members: object = {}, more: object = {}) =>
  parseConfig(
    bytes({ os: 'linux', architecture: 'arm64', config: members, rootfs: { diff_ids: [] }, ...more }),
    'config',
  );
const files = {
  passwd: 'root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n',
  group: 'root:x:0:\nweb:x:44:\ntty:x:5:web,other\nvideo:x:27:web\n',
};
const none = { passwd: '', group: '' };

describe('[A8.5] architectures of OCI and appc (schema/types/labels.go, ToAppcOSArch)', () => {
  it.each([
    ['linux/arm64', 'aarch64'],
    ['linux/arm64/v8', 'aarch64'],
    ['linux/arm/v7', 'armv7l'],
    ['linux/arm', 'armv7l'],
    ['linux/arm/v6', 'armv6l'],
    ['linux/arm/v5', 'armv6l'],
    ['linux/arm/v8', 'armv7l'],
    ['linux/amd64', 'amd64'],
    ['linux/386', 'i386'],
    ['linux/s390x', 's390x'],
  ])('%s is %s', (text, appc) => {
    expect(appcArchitecture('x', parsePlatform(text))).toBe(appc);
    expect(appcArchitecture('x', ociPlatform('linux', appc) ?? parsePlatform('x/y'))).toBe(appc);
  });

  it.each(['linux/arm/v4', 'windows/amd64', 'linux/riscv64'])('%s has no name in appc', (text) => {
    expect(() => appcArchitecture('x', parsePlatform(text))).toThrow(/have no name for/);
  });

  it('the one of an index is chosen by its appc name; attestations are ignored', () => {
    const image = (architecture: string, variant = '', os = 'linux') => ({
      mediaType: '',
      digest,
      sizeBytes: architecture.length + variant.length,
      platform: { os, architecture, variant },
      annotations: {},
    });
    const index = [image('amd64'), image('arm', 'v7'), image('arm64', 'v8'), image('unknown', '', 'unknown')];
    expect(choosePlatform(index, parsePlatform('linux/arm64'), 'app.tar').platform?.variant).toBe('v8');
    expect(choosePlatform(index, parsePlatform('linux/arm'), 'app.tar').platform?.variant).toBe('v7');
    expect(() => choosePlatform(index, parsePlatform('linux/s390x'), 'app.tar')).toThrow(
      /not available for linux\/s390x, but for "linux\/amd64"/,
    );
    expect(() => choosePlatform(index, undefined, 'app.tar')).toThrow(/choose one with --platform/);
    expect(choosePlatform([image('amd64')], undefined, 'app.tar').platform?.architecture).toBe('amd64');
  });
});

describe('the platform of an image', () => {
  const platform = parsePlatform;
  it.each([
    ['its config alone', 'linux/arm/v6', undefined, 'linux/arm/v6'],
    ['the variant of its index, where the config leaves it out', 'linux/arm', 'linux/arm/v6', 'linux/arm/v6'],
    ['its config, where the index has no variant', 'linux/arm/v7', 'linux/arm', 'linux/arm/v7'],
    ['both, where they say the same in other words', 'linux/arm64', 'linux/arm64/v8', 'linux/arm64/v8'],
  ])('is given by %s', (_what, own, index, expected) => {
    expect(
      platformOf('x', platform(own), index === undefined ? undefined : platform(index), undefined),
    ).toEqual(platform(expected));
  });

  it('is refused where the index or the operator contradicts the config', () => {
    const amd = platform('linux/amd64');
    expect(() => platformOf('app.tar', amd, platform('linux/arm64'), undefined)).toThrow(
      'app.tar: its index says that it is for "linux/arm64", its config says "linux/amd64"',
    );
    expect(() => platformOf('app.tar', amd, undefined, platform('linux/arm/v7'))).toThrow(
      'app.tar: --platform asks for "linux/arm/v7", its config says "linux/amd64"',
    );
  });

  it('32-bit ARMv8 is not treated as ARMv7 in a choice of several', () => {
    const of = (text: string) => ({
      mediaType: '',
      digest,
      sizeBytes: 1,
      platform: platform(text),
      annotations: {},
    });
    const index = [of('linux/arm/v8'), of('linux/arm/v7')];
    expect(choosePlatform(index, platform('linux/arm/v7'), 'app.tar')).toBe(index[1]);
    expect(choosePlatform(index, platform('linux/arm/v8'), 'app.tar')).toBe(index[0]);
  });
});

describe('references to registries', () => {
  it.each([
    ['docker://nginx', 'registry-1.docker.io', 'library/nginx', 'latest'],
    ['docker://team/app:1.0', 'registry-1.docker.io', 'team/app', '1.0'],
    ['docker://registry.example/app', 'registry.example', 'app', 'latest'],
    ['docker://127.0.0.1:5000/a/b/c:v2', '127.0.0.1:5000', 'a/b/c', 'v2'],
    ['docker://localhost/app:1', 'localhost', 'app', '1'],
  ])('%s', (text, host, repository, tag) => {
    expect(parseRegistryReference(text)).toEqual({ host, repository, tag });
  });

  it('may have a digest', () => {
    expect(parseRegistryReference(`docker://registry.example/app@${digest}`)).toMatchObject({ digest });
  });

  it.each([
    'docker://',
    'docker://UPPER/case',
    'docker://a/../b',
    'docker://a/b@sha256:1',
    'docker://a/b:c:d',
    'docker://user:secret@host/a',
  ])('%s is not one', (text) => expect(() => parseRegistryReference(text)).toThrow(/is not a reference/));
});

describe('the config of an OCI image as an app (image-spec, config.md)', () => {
  it('keeps the program', () => {
    const { app, annotations, warnings } = runtimeOf(
      config(
        {
          User: 'web',
          ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8080': {} },
          Env: ['PATH=/bin', 'EMPTY=', 'TWICE=1', 'TWICE=a=b'],
          Entrypoint: ['/entry', '--x'],
          Cmd: ['serve'],
          Volumes: { '/var/lib/data/': {}, '/var/lib-data': {} },
          WorkingDir: '/srv',
          Labels: { 'Any Key!': 'value', __proto__x: 'y' },
          StopSignal: 'QUIT',
        },
        { created: '2026-01-02T03:04:05Z', author: 'someone' },
      ),
      files,
    );
    expect(app).toEqual({
      exec: ['/entry', '--x', 'serve'],
      user: 'web',
      group: '44',
      supplementaryGIDs: [5, 27],
      workingDirectory: '/srv',
      environment: [
        { name: 'PATH', value: '/bin' },
        { name: 'EMPTY', value: '' },
        { name: 'TWICE', value: 'a=b' },
      ],
      mountPoints: [
        { name: 'var-lib-data', path: '/var/lib/data' },
        { name: 'var-lib-data-2', path: '/var/lib-data' },
      ],
      ports: [
        { name: 'tcp-8080', protocol: 'tcp', port: 8080 },
        { name: 'tcp-80', protocol: 'tcp', port: 80 },
        { name: 'udp-53', protocol: 'udp', port: 53 },
      ],
      userAnnotations: { 'Any Key!': 'value', __proto__x: 'y' },
    });
    expect(annotations).toEqual([
      { name: 'created', value: '2026-01-02T03:04:05Z' },
      { name: 'authors', value: 'someone' },
      { name: 'wherry/stop-signal', value: 'SIGQUIT' },
      { name: 'wherry/oci-entrypoint-length', value: '2' },
      { name: 'wherry/oci-default-group', value: '44' },
    ]);
    expect(warnings).toEqual([]);
  });

  it('has no length of the entrypoint without a command', () => {
    const { annotations } = runtimeOf(config({ Entrypoint: ['/entry'] }), none);
    expect(annotations.map(({ name }) => name)).not.toContain('wherry/oci-entrypoint-length');
  });

  it('has an empty value for a variable without one, a port in any case, and no volume at /', () => {
    const { app, warnings } = runtimeOf(
      config({
        Cmd: ['/x'],
        Env: ['BARE'],
        ExposedPorts: { '80/TCP': {} },
        Volumes: { '/': {}, '/data': {} },
      }),
      none,
    );
    expect(app).toMatchObject({
      environment: [{ name: 'BARE', value: '' }],
      ports: [{ name: 'tcp-80', protocol: 'tcp', port: 80 }],
      mountPoints: [{ name: 'data', path: '/data' }],
    });
    expect(warnings).toEqual(['it has a volume at /, which would hide all of its files']);
    expect(app && configOf(app, () => undefined)).not.toHaveProperty('WorkingDir');
  });

  it('drops a time of creation that is none', () => {
    const frame = { name: parseAcIdentifier('app'), tag: undefined, arch: 'aarch64', labels: [], ...none };
    const names = (created: string) =>
      manifestOf(config({ Cmd: ['/x'] }, { created }), frame).manifest.annotations.map(({ name }) => name);
    expect(names('2026-01-02T03:04:05Z')).toContain('created');
    expect(names('yesterday')).not.toContain('created');
  });

  it.each<[string, string, string, number[]?]>([
    ['', '0', '0'],
    ['0', '0', '0'],
    ['web', 'web', '44', [5, 27]],
    ['33', '33', '44', [5, 27]],
    ['5', '5', '0'],
    ['unknown', 'unknown', '0'],
    ['web:', 'web', '44', [5, 27]],
    ['web:web', 'web', 'web'],
    ['web:5', 'web', '5'],
    ['33:web', '33', 'web'],
    ['5:6', '5', '6'],
    [':6', '0', '6'],
  ])('the user %j is %s with the group %s and further groups %j', (User, user, group, supplementaryGIDs) => {
    const { app } = runtimeOf(config({ User, Cmd: ['/x'] }), files);
    expect(app).toMatchObject({ user, group });
    expect(app?.supplementaryGIDs).toEqual(supplementaryGIDs);
  });

  it('invalid lines of account files give no group', () => {
    const passwd =
      'web\nweb:x\nweb:x:33:many::/:/bin/sh\nweb:x:33:4294967295::/:/bin/sh\nweb:x:33:7::/:/bin/sh';
    expect(accountOf('web', { passwd, group: 'web:x::web\n:::web\nx:y:99999999999:web' })).toEqual({
      user: 'web',
      group: '7',
      supplementaryGids: [],
      isDefaultGroup: true,
    });
  });

  it.each([
    ['SIGUSR1', 'SIGUSR1'],
    ['usr2', 'SIGUSR2'],
    ['3', 'SIGQUIT'],
    ['sigterm', 'SIGTERM'],
    ['34', 'SIGRTMIN'],
    ['37', 'SIGRTMIN+3'],
    ['SIGRTMIN+3', 'SIGRTMIN+3'],
    ['RTMAX', 'SIGRTMIN+30'],
    ['SIGRTMAX-1', 'SIGRTMIN+29'],
  ])('the stop signal %s is %s', (StopSignal, value) => {
    const { annotations, warnings } = runtimeOf(config({ StopSignal, Cmd: ['/x'] }), none);
    expect(annotations).toContainEqual({ name: 'wherry/stop-signal', value });
    expect(warnings).toEqual([]);
    // Each is a setting that a device accepts.
    const name = parseAcIdentifier('wherry/stop-signal');
    expect(appSettings('x', [{ name, value }]).stopSignal).toBe(value);
  });

  it.each(['SIGSEGV', '11', '65', 'SIGRTMIN-1', 'SIGRTMIN+31', 'SIG', 'FOO', 'constructor'])(
    'the stop signal %s is reported and left out',
    (StopSignal) => {
      const { annotations, warnings } = runtimeOf(config({ StopSignal, Cmd: ['/x'] }), none);
      expect(annotations.map(({ name }) => name)).not.toContain('wherry/stop-signal');
      expect(warnings).toEqual([expect.stringMatching(/stop signal .* none that a device sends/)]);
    },
  );

  it.each([
    ['srv/app', '/srv/app'],
    ['/srv/app/', '/srv/app'],
    ['/srv/../../etc', '/etc'],
    ['//srv//app', '/srv/app'],
    ['', '/'],
  ])('the working directory %j is %s', (WorkingDir, path) => {
    expect(runtimeOf(config({ WorkingDir, Cmd: ['/x'] }), none).app?.workingDirectory).toBe(path);
  });

  it('a port or volume that is declared twice exists once', () => {
    const { app } = runtimeOf(
      config({
        Cmd: ['/x'],
        ExposedPorts: { 80: {}, '80/tcp': {}, '80/TCP': {} },
        Volumes: { '/d': {}, '/d/': {} },
      }),
      none,
    );
    expect(app?.ports).toEqual([{ name: 'tcp-80', protocol: 'tcp', port: 80 }]);
    expect(app?.mountPoints).toEqual([{ name: 'd', path: '/d' }]);
  });

  it('a field that Go omits from its JSON or writes as null is absent', () => {
    const names = [
      'User',
      'ExposedPorts',
      'Env',
      'Entrypoint',
      'Cmd',
      'Volumes',
      'WorkingDir',
      'Labels',
      'StopSignal',
    ];
    const nulls = Object.fromEntries([...names, 'Healthcheck'].map((name) => [name, null]));
    expect(config(nulls)).toEqual(config());
  });

  it.each([
    // GitLab's and other images reset an entrypoint of their base in this way.
    ['is none', [''], ['/x', 'a'], ['/x', 'a']],
    ['and an empty command are none', [''], [''], []],
    ['is none, an empty argument is kept', ['/x'], [''], ['/x', '']],
  ])('an empty entrypoint %s', (_what, Entrypoint, Cmd, exec) => {
    expect(runtimeOf(config({ Entrypoint, Cmd, Env: ['A=b'] }), none).app?.exec).toEqual(exec);
  });

  it('volumes at forbidden paths are reported and left out [C264]', () => {
    // The first is in images for systemd (CentOS), the second in tools that inspect the host.
    const Volumes = { '/sys/fs/cgroup': {}, '/proc/': {}, '/data': {}, '/data/db': {}, '/data-2': {} };
    const { app, warnings } = runtimeOf(config({ Cmd: ['/x'], Volumes }), none);
    expect(app?.mountPoints.map(({ path }) => path)).toEqual(['/data', '/data-2']);
    expect(warnings).toEqual([
      'it has a volume at /sys/fs/cgroup, which belongs to the runtime; it gets no mount point',
      'it has a volume at /proc, which belongs to the runtime; it gets no mount point',
      'it has a volume at /data/db in that at /data; mounts cannot overlap, so it gets no mount point',
    ]);
  });

  it('an image without a command keeps the rest', () => {
    const { app, warnings } = runtimeOf(config({ Env: ['A=b'], WorkingDir: '/srv' }), none);
    expect(app).toMatchObject({
      exec: [],
      environment: [{ name: 'A', value: 'b' }],
      workingDirectory: '/srv',
    });
    expect(warnings).toEqual(['it has no command; a pod that uses it must specify what to run']);
  });

  it('reports fields that cannot be converted', () => {
    const { warnings } = runtimeOf(
      config({
        Cmd: ['/x'],
        Env: ['1BAD=x'],
        ExposedPorts: { 'http/tcp': {} },
        Healthcheck: { Test: ['check'] },
        Volumes: { '/': {} },
      }),
      none,
    );
    expect(warnings).toEqual([
      expect.stringMatching(/health check .* not run/),
      expect.stringMatching(/environment .* "1BAD"/),
      expect.stringMatching(/volume at \//),
      expect.stringMatching(/exposes "http\/tcp"/),
    ]);
    expect(runtimeOf(config(), none).app).toBeUndefined();
  });
});

describe('documents of OCI are refused, with where and why, when', () => {
  const descriptor = { digest, size: 1 };
  it.each<[string, () => unknown, RegExp]>([
    ['they are no JSON', () => parseDocument(Buffer.from('{'), 'index.json'), /^index\.json: /],
    [
      'a key is there twice',
      () => parseDocument(Buffer.from('{"schemaVersion":2,"schemaVersion":2}'), 'x'),
      /twice/,
    ],
    ['they are of schema 1', () => parseDocument(bytes({ schemaVersion: 1 }), 'x'), /\/schemaVersion/],
    [
      'a digest climbs [A10.10]',
      () =>
        parseDocument(
          bytes({ schemaVersion: 2, config: { digest: 'sha256:../../x', size: 1 }, layers: [] }),
          'x',
        ),
      /\/config\/digest/,
    ],
    [
      'a size is none',
      () =>
        parseDocument(bytes({ schemaVersion: 2, config: descriptor, layers: [{ digest, size: -1 }] }), 'x'),
      /\/layers\/0\/size/,
    ],
    [
      'a size has a fraction',
      () => parseDocument(bytes({ schemaVersion: 2, config: { digest, size: 1.5 }, layers: [] }), 'x'),
      /\/config\/size/,
    ],
    [
      'a user has two groups',
      () => config({ User: 'web:a:b' }),
      /\/config\/User: expected USER or USER:GROUP/,
    ],
    ['the environment is no list', () => config({ Env: 'PATH' }), /\/config\/Env: expected a list/],
    ['a saved image has no layers', () => parseSavedImages(bytes([{ Config: 'x' }])), /\/0\/Layers/],
    ['they are too large', () => parseDocument(Buffer.alloc((4 << 20) + 1, 0x20), 'x'), /at most/],
  ])('%s', (_what, parse, problem) => {
    expect(parse).toThrow(problem);
  });
});

describe('a health check of Docker (HealthConfig)', () => {
  /** The probe that a device reads from the annotations of a converted image. */
  const probeOf = (healthcheck: object) => {
    const { annotations, warnings } = runtimeOf(config({ Cmd: ['/x'], Healthcheck: healthcheck }), none);
    const { annotations: read } = parseImageManifest(
      bytes({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/a', annotations }),
    );
    return { probe: appSettings('web', read).probe, warnings };
  };

  it('becomes a probe by a program, with the defaults of Docker', () => {
    expect(probeOf({ Test: ['CMD', '/bin/check', 'a b'] })).toEqual({
      probe: {
        action: { kind: 'exec', command: ['/bin/check', 'a b'] },
        rules: { intervalSeconds: 30, timeoutSeconds: 30, failures: 3, successes: 1 },
      },
      warnings: [],
    });
  });

  it('keeps its times, in whole seconds, and its retries', () => {
    const check = { Test: ['CMD-SHELL', 'check || exit 1'], Retries: 5, StartPeriod: 1_500_000_000 };
    expect(probeOf({ ...check, Interval: 60_000_000_000, Timeout: 3_000_000_001 }).probe).toEqual({
      action: { kind: 'exec', command: ['/bin/sh', '-c', 'check || exit 1'] },
      rules: { intervalSeconds: 60, timeoutSeconds: 4, failures: 5, successes: 1, startPeriodSeconds: 2 },
    });
  });

  it.each([
    ['switched off', { Test: ['NONE'] }, []],
    ['without a test', {}, []],
    ['of no kind', { Test: ['check'] }, [/none that Docker knows/]],
    ['that is one text', { Test: 'check' }, [/none that Docker knows/]],
    ['with words that are none', { Test: ['CMD', 1] }, [/none that Docker knows/]],
    ['with a command for a shell in two', { Test: ['CMD-SHELL', 'a', 'b'] }, [/none that Docker knows/]],
    ['that is too long', { Test: ['CMD', 'x'.repeat(5000)] }, [/longer than a device takes/]],
    [
      'of too many words',
      { Test: ['CMD', ...Array.from({ length: 65 }, () => 'x')] },
      [/longer than a device takes/],
    ],
  ])('%s is not run', (_name, check, expected) => {
    const { probe, warnings } = probeOf(check);
    expect(probe).toBeUndefined();
    expect(warnings).toEqual(expected.map((words) => expect.stringMatching(words) as string));
  });

  it('that is slower than a device allows is bounded, with a warning', () => {
    const { probe, warnings } = probeOf({ Test: ['CMD', '/x'], Interval: 86_400e9, Retries: 1000 });
    expect(probe?.rules).toMatchObject({ intervalSeconds: 3600, failures: 100 });
    expect(warnings).toHaveLength(2);
  });
});

describe('from OCI and back (image-spec, config.md)', () => {
  const word = fc.stringMatching(/^[ -~]{1,12}$/);
  const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/);
  const path = fc.stringMatching(/^(\/[a-z0-9][a-zA-Z0-9._-]{0,6}){1,3}$/);
  const id = fc.nat(65_534).map(String);
  const keysOf = (one: fc.Arbitrary<string>) =>
    fc.uniqueArray(one, { maxLength: 4 }).map((keys) => Object.fromEntries(keys.map((key) => [key, {}])));
  const settings = fc.record({
    Entrypoint: fc.array(word, { maxLength: 3 }),
    Cmd: fc.array(word, { maxLength: 3 }),
    Env: fc
      .uniqueArray(fc.tuple(name, fc.string({ unit: 'grapheme', maxLength: 12 })), {
        maxLength: 5,
        selector: ([key]) => key,
      })
      .map((pairs) => pairs.map(([key, value]) => `${key}=${value.replaceAll('\0', '')}`)),
    User: fc.oneof(
      fc.constantFrom('', 'web', '33', 'web:web', '33:44', 'other'),
      fc.tuple(id, id).map((both) => both.join(':')),
    ),
    WorkingDir: path,
    ExposedPorts: keysOf(
      fc
        .tuple(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom('tcp', 'udp'))
        .map((both) => both.join('/')),
    ),
    Volumes: keysOf(path),
    Labels: fc.dictionary(
      fc.stringMatching(/^[a-z][a-zA-Z0-9./-]{0,12}$/),
      fc.string({ unit: 'grapheme', maxLength: 12 }),
    ),
    StopSignal: fc.constantFrom('SIGTERM', 'SIGQUIT', 'SIGRTMIN+3'),
    Healthcheck: fc.record({ Test: fc.array(word, { maxLength: 3 }), Interval: fc.nat() }),
  });

  it('keeps every program of an image', () => {
    fc.assert(
      fc.property(settings, (members) => {
        const before = config(members);
        const { app, annotations } = runtimeOf(before, files);
        // Through the manifest, as strictly as an archive's is read.
        const manifest = parseImageManifest(
          bytes({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/a', app, annotations }),
        );
        const draft = { ...manifest.app, userAnnotations: app?.userAnnotations } as AppDraft;
        const back = configOf(
          draft,
          (wanted) => manifest.annotations.find((one) => one.name === wanted)?.value,
        );
        const after = config(back);
        expect(after).toEqual({
          ...before,
          user: before.user === '0' ? '' : before.user,
          volumes: before.volumes.filter(
            (path) => !before.volumes.some((above) => path.startsWith(`${above}/`)),
          ),
        });
      }),
    );
  });
});
