import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseImageManifest, parsePodManifest } from '../../../src/image/appc/index.ts';
import { compilePod, podsTargetText } from '../../../src/device/pod/index.ts';
import { podUuid } from '../../../src/wire/trust/index.ts';
import { readUnit } from '../../support/unit-reader.ts';
import { boardHost, demoImage, demoUuid, imageId } from './demo.ts';

const compileApp = (app: object) =>
  compilePod({
    name: 'demo-one',
    uuid: demoUuid,
    manifest: parsePodManifest(
      Buffer.from(
        JSON.stringify({
          acVersion: '0.8.11',
          acKind: 'PodManifest',
          apps: [{ name: 'web', image: { id: imageId }, app: { user: '0', group: '0', ...app } }],
        }),
      ),
    ),
    images: new Map([[imageId, demoImage]]),
    host: boardHost,
  });

const plainUnits = compileApp({ exec: ['/bin/app'] }).units;

const hostile = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter((s) => !/[\0\p{Surrogate}]/u.test(s)),
  fc.constantFrom('x\nExecStartPre=/bin/evil', '%n', '$HOME', '"', "'; rm -rf /", '\\', '[Install]'),
);

describe('the values of an app', () => {
  it('never reach a unit: its text is the same for every app', () => {
    fc.assert(
      fc.property(
        fc.array(hostile, { minLength: 1, maxLength: 4 }),
        hostile,
        hostile.map((path) => `/${path.replaceAll('/', '')}`),
        (exec, value, workingDirectory) => {
          let pod;
          try {
            pod = compileApp({ exec, workingDirectory, environment: [{ name: 'A', value }] });
          } catch {
            return; // the manifest's parser refused it
          }
          expect(pod.units).toEqual(plainUnits);
          const config = JSON.parse(
            pod.files.find(({ path }) => path === 'apps/web/config.json')?.content ?? '',
          ) as { process: { args: string[]; env: string[]; cwd: string } };
          expect(config.process.args).toEqual(exec);
          expect(config.process.env).toContain(`A=${value}`);
          expect(config.process.cwd).toBe(workingDirectory);
        },
      ),
    );
  });

  it.each(['start-app', 'release-app'])('never reach %s, which is the same for every pod', (name) => {
    const script = (pod: ReturnType<typeof compileApp>) =>
      pod.files.find(({ path }) => path === name)?.content ?? '';
    const text = script(compileApp({ exec: ['/bin/app'] }));
    expect(text).toMatch(/^#!\/bin\/sh\n/);
    expect(script(compileApp({ exec: ['/bin/other', '$(id)'] }))).toBe(text);
    execFileSync('sh', ['-n'], { input: text });
  });
});

describe('names', () => {
  it('keep pods of one name and different content apart', () => {
    const bytes = (text: string) => Buffer.from(text);
    const uuid = podUuid('demo', bytes('{}'));
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(podUuid('demo', bytes('{}'))).toBe(uuid);
    expect(podUuid('demo', bytes('{ }'))).not.toBe(uuid);
    expect(podUuid('demo2', bytes('{}'))).not.toBe(uuid);
  });

  it('are refused if systemd would not accept them', () => {
    // 119 characters. Each dash takes four in a unit name.
    const long = Array.from({ length: 60 }, () => 'a').join('-');
    const app = { name: 'web', image: { id: imageId }, app: { exec: ['/x'], user: '0', group: '0' } };
    const manifest = parsePodManifest(
      Buffer.from(JSON.stringify({ acVersion: '0.8.11', acKind: 'PodManifest', apps: [app] })),
    );
    const images = new Map([[imageId, demoImage]]);
    for (const name of [long, '../x', '']) {
      expect(() => compilePod({ name, uuid: demoUuid, manifest, images, host: boardHost })).toThrow(
        expect.objectContaining({ code: 'pod-manifest-invalid' }) as Error,
      );
    }
  });

  it('share only the mount of an image between pods', () => {
    const pod = compileApp({ exec: ['/bin/app'] });
    expect(pod.mounts).toEqual([`run-wherry-images-sha512\\x2d${'ab'.repeat(64)}.mount`]);
    expect(pod.units.map(({ name }) => name)).toEqual([
      ...pod.mounts,
      'wherry-pod-demo\\x2done.0123abcd.slice',
      'wherry-pod-demo\\x2done.0123abcd-web.service',
    ]);
  });
});

describe('a 32-bit app under a 64-bit kernel', () => {
  const linuxOf = (arch: string | undefined, machine: string) => {
    const labels =
      arch === undefined
        ? []
        : [
            { name: 'os', value: 'linux' },
            { name: 'arch', value: arch },
          ];
    const app = { exec: ['/bin/app'], user: '0', group: '0' };
    const manifest = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/demo', labels, app };
    const image = { ...demoImage, manifest: parseImageManifest(Buffer.from(JSON.stringify(manifest))) };
    const pod = {
      acVersion: '0.8.11',
      acKind: 'PodManifest',
      apps: [{ name: 'web', image: { id: imageId } }],
    };
    const { files } = compilePod({
      name: 'demo-one',
      uuid: demoUuid,
      manifest: parsePodManifest(Buffer.from(JSON.stringify(pod))),
      images: new Map([[imageId, image]]),
      host: { ...boardHost, machine },
    });
    const config = files.find(({ path }) => path === 'apps/web/config.json')?.content ?? '';
    return (JSON.parse(config) as { linux: { personality?: object; seccomp: { architectures: string[] } } })
      .linux;
  };

  it.each([
    ['armv7l', 'arm64', { domain: 'LINUX32' }],
    ['armv6l', 'arm64', { domain: 'LINUX32' }],
    ['aarch64', 'arm64', undefined],
    [undefined, 'arm64', undefined],
    ['armv7l', 'arm', undefined],
  ])('labelled %s on %s has the personality %j', (arch, machine, personality) => {
    expect(linuxOf(arch, machine).personality).toEqual(personality);
  });

  it('has the filter of 64-bit apps, which covers the calls of both', () => {
    const filter = linuxOf('armv7l', 'arm64').seccomp;
    expect(filter.architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
    expect(filter).toEqual(linuxOf('aarch64', 'arm64').seccomp);
  });
});

describe('the active set', () => {
  it('is one target that wants every service', () => {
    expect(readUnit(podsTargetText(['wherry-pod-a.1-x.service', 'wherry-pod-a.1-y.service']))).toContainEqual(
      {
        section: 'Unit',
        key: 'Wants',
        value: 'wherry-pod-a.1-x.service wherry-pod-a.1-y.service',
      },
    );
  });

  it('may be empty', () => {
    expect(readUnit(podsTargetText([]))).toHaveLength(1);
  });
});
