// Labels as in docs/appc-checklist.md. Vectors of the specification and of its reference are facts
// from github.com/appc/spec at 259c2ee (spec/pods.md, examples/pod_{runtime,template}.json and
// schema/{pod_test,lastditch/pod_test}.go; Apache-2.0, Copyright 2014-2016 The appc Authors).
import { describe, expect, it } from 'vitest';
import {
  parsePodManifest,
  podManifestLimits,
  serializePodManifest,
} from '../../../src/image/appc/pod-manifest.ts';
import type { PodManifest } from '../../../src/image/appc/types.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

const parseText = (text: string): PodManifest => parsePodManifest(new TextEncoder().encode(text));
const id = `sha512-${'57007df523db8aa5'.repeat(8)}`;
const app = { name: 'worker', image: { id } };
const parse = (members: Record<string, unknown>): PodManifest =>
  parseText(JSON.stringify({ acVersion: '0.8.11', acKind: 'PodManifest', apps: [app], ...members }));
const parseApp = (members: Record<string, unknown>): PodManifest => parse({ apps: [{ ...app, ...members }] });
const parseVolume = (members: Record<string, unknown>): PodManifest =>
  parse({ volumes: [{ name: 'work', ...members }] });

/**
 * The example of pods.md#pod-manifest-schema with full image IDs, and the members that it leaves
 * out.
 */
const example = {
  acVersion: '0.8.11',
  acKind: 'PodManifest',
  apps: [
    {
      name: 'reduce-worker',
      image: { name: 'example.com/reduce-worker', id, labels: [{ name: 'version', value: '1.0.0' }] },
      app: {
        exec: ['/bin/reduce-worker', '--debug=true', '--data-dir=/mnt/foo'],
        group: '0',
        user: '0',
        mountPoints: [{ name: 'work', path: '/var/lib/work' }],
      },
      readOnlyRootFS: true,
      mounts: [{ volume: 'worklib', path: '/var/lib/work' }],
    },
    {
      name: 'backup',
      image: { name: 'example.com/worker-backup', id, labels: [{ name: 'version', value: '1.0.0' }] },
      mounts: [
        {
          volume: 'worklib',
          path: '/mnt/bar',
          appVolume: { name: 'other', kind: 'empty', mode: '0777', uid: 7 },
        },
      ],
      annotations: [{ name: 'foo', value: 'baz' }],
    },
    { name: 'register', image: { id } },
  ],
  volumes: [{ name: 'worklib', kind: 'host', source: '/opt/tenant1/work', readOnly: true, recursive: true }],
  isolators: [{ name: 'resource/memory', value: { limit: '4G' } }],
  annotations: [{ name: 'ip-address', value: '10.1.2.3' }],
  ports: [
    { name: 'ftp', hostPort: 2121 },
    {
      name: 'web',
      hostPort: 80,
      hostIP: '203.0.113.23',
      podPort: { name: 'web', protocol: 'tcp', port: 8080, socketActivated: true },
    },
  ],
  userAnnotations: { 'any key': 'any value' },
};

describe('a pod manifest (pods.md#pod-manifest-schema)', () => {
  it("[A6.1] specification: the text's example is accepted unchanged", () => {
    expect(parseText(JSON.stringify(example))).toEqual({
      acVersion: '0.8.11',
      apps: [
        {
          name: 'reduce-worker',
          image: example.apps[0]?.image,
          app: {
            exec: ['/bin/reduce-worker', '--debug=true', '--data-dir=/mnt/foo'],
            ...{ user: '0', group: '0', supplementaryGids: [], eventHandlers: [], workingDirectory: '/' },
            ...{ environment: [], isolators: [], ports: [] },
            mountPoints: [{ name: 'work', path: '/var/lib/work', readOnly: false }],
          },
          readOnlyRootFs: true,
          mounts: [{ volume: 'worklib', path: '/var/lib/work' }],
          annotations: [],
        },
        {
          name: 'backup',
          image: example.apps[1]?.image,
          readOnlyRootFs: false,
          mounts: [
            {
              volume: 'worklib',
              path: '/mnt/bar',
              appVolume: { kind: 'empty', name: 'other', readOnly: false, mode: 0o777, uid: 7, gid: 0 },
            },
          ],
          annotations: [{ name: 'foo', value: 'baz' }],
        },
        { name: 'register', image: { id, labels: [] }, readOnlyRootFs: false, mounts: [], annotations: [] },
      ],
      volumes: [
        { kind: 'host', name: 'worklib', readOnly: true, source: '/opt/tenant1/work', recursive: true },
      ],
      isolators: example.isolators,
      annotations: example.annotations,
      ports: [
        { name: 'ftp', hostPort: 2121 },
        {
          name: 'web',
          hostPort: 80,
          hostIp: '203.0.113.23',
          podPort: { name: 'web', protocol: 'tcp', port: 8080, count: 1, socketActivated: true },
        },
      ],
      userAnnotations: { 'any key': 'any value' },
    });
  });

  it('[A3.18] ours: is written in one form, and read back unchanged', () => {
    const manifest = parseText(JSON.stringify(example));
    const bytes = serializePodManifest(manifest);
    expect(parsePodManifest(bytes)).toEqual(manifest);
    expect(serializePodManifest(parsePodManifest(bytes))).toEqual(bytes);
  });

  it('[A2.12] reference-only: null means an absent optional member, as Go writes it', () => {
    expect(parse({ volumes: null, isolators: null, annotations: null, ports: null })).toEqual(parse({}));
  });

  it('[A6.2] specification: two apps may share an image', () => {
    expect(parse({ apps: [app, { ...app, name: 'other' }] }).apps).toHaveLength(2);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['[A2.4] specification', { acKind: undefined }, 'the key "acKind" is missing'],
    [
      '[A2.4] specification',
      { acKind: 'ImageManifest' },
      '/acKind: expected "PodManifest", found "ImageManifest"',
    ],
    // The reference accepts the next ones: docs/decisions/appc-differences.md, 8.
    ['[A6.1] specification', { acVersion: undefined }, 'the key "acVersion" is missing'],
    ['[A6.1] specification', { apps: undefined }, '/apps: expected at least one app'],
    ['[A6.1] ours', { apps: [] }, '/apps: expected at least one app'],
    ['[A6.1] specification', { apps: [{ name: 'a' }] }, '/apps/0: the key "image" is missing'],
    ['[A6.1] specification', { apps: [{ image: { id } }] }, '/apps/0: the key "name" is missing'],
    // examples/pod_template.json: a template must be reified first.
    [
      '[A6.1] specification',
      { apps: [app, { name: 'b', image: { name: 'example.com/b' } }] },
      '/apps/1/image: expected the "id"',
    ],
    [
      '[A6.1] specification',
      { apps: [{ name: 'a', image: { id: 'sha512-...' } }] },
      '/apps/0/image/id: expected an image ID',
    ],
    ['[A6.1] specification', { apps: [{ name: 'a.b', image: { id } }] }, '/apps/0/name: expected an AC Name'],
    [
      '[A6.1] specification',
      { apps: [app, { ...app, name: 'b' }, app] },
      '/apps/2: the app "worker" is there twice',
    ],
    [
      '[A6.3] specification',
      {
        volumes: [
          { name: 'simplename', kind: 'empty' },
          { name: 'simplename', kind: 'host', source: '/tmp' },
        ],
      },
      '/volumes/1: the volume "simplename" is there twice',
    ],
    ['[A2.12] ours', { restart: 'always' }, '/restart: the key is not known'],
    [
      '[A6.6] specification',
      { isolators: [{ name: 'os/linux/no-new-privileges', value: true }] },
      'does not belong to a pod',
    ],
    [
      '[A6.6] specification',
      {
        isolators: [
          { name: 'os/unix/sysctl', value: {} },
          { name: 'os/unix/sysctl', value: {} },
        ],
      },
      '/isolators/1: the isolator "os/unix/sysctl" is there twice',
    ],
    ['[A6.4] specification', { ports: [{ name: 'a' }] }, '/ports/0: the key "hostPort" is missing'],
    [
      '[A6.4] specification',
      { ports: [{ name: 'a', hostPort: 99999 }] },
      '/ports/0/hostPort: expected an integer from 1',
    ],
    [
      '[A6.4] ours',
      { ports: [{ name: 'a', hostPort: 1, hostIP: '1::2::3' }] },
      '/ports/0/hostIP: expected an IPv4',
    ],
    [
      '[A6.4] specification',
      { ports: [{ name: 'a', hostPort: 1, hostIP: '1.2.3' }] },
      '/ports/0/hostIP: expected an IPv4',
    ],
    [
      '[A6.4] specification',
      { ports: [{ name: 'a', hostPort: 1, hostIP: '1.2.3.256' }] },
      '/ports/0/hostIP: expected',
    ],
    [
      '[A6.4] ours',
      { ports: [{ name: 'a', hostPort: 1, hostIP: '1.2.3.04' }] },
      '/ports/0/hostIP: expected an IPv4',
    ],
    [
      '[A6.4] ours',
      { ports: [{ name: 'a', hostPort: 1, hostIP: '1.2.3.4.' }] },
      '/ports/0/hostIP: expected an IPv4',
    ],
    [
      '[A6.4] ours',
      { ports: [1, 2].map((hostPort) => ({ name: 'a', hostPort })) },
      '/ports/1: the port "a" is there twice',
    ],
    [
      '[A6.4] specification',
      { ports: [{ name: 'a', hostPort: 1, podPort: { name: 'a' } }] },
      '/ports/0/podPort: the key',
    ],
  ])('%s: %j is refused', (_source, members, problem) => {
    expect(() => parse(members)).toThrow(problem);
    expect(() => parse(members)).toThrow(
      expect.objectContaining({ code: 'pod-manifest-invalid' }) as Refusal,
    );
  });

  // The reference accepts these in its lenient reader, which lists pods that it would not run.
  // wherry has no such reader.
  const image = { name: 'i', id: 'id', labels: [] };
  const of = (...labels: object[]): object => ({ apps: [{ name: 'a', image: { id, name: 'i', labels } }] });
  it.each<[string, object, string]>([
    ['an empty pod', { apps: [] }, '/apps: expected at least one app'],
    ['an app without a name', { apps: [{ name: '', image }] }, '/apps/0/name: expected an AC Name'],
    [
      'an empty image',
      { apps: [{ name: 'a', image: { name: '', id: '', labels: [] } }] },
      '/apps/0/image/id: expected an image ID',
    ],
    ['an empty label', of({ name: '', value: '' }), '/apps/0/image/labels/0/name: expected'],
    ['an invalid name of an app', { apps: [{ name: '!', image }] }, '/apps/0/name: expected an AC Name'],
    ['apps of one name', { apps: [app, app] }, '/apps/1: the app "worker" is there twice'],
    [
      'an invalid image',
      { apps: [{ name: 'a', image: { name: '!!!', id: '&&&', labels: [] } }] },
      '/apps/0/image/id: expected an image ID',
    ],
    [
      'labels with invalid names',
      of({ name: '!n1', value: 'v1' }, { name: 'N2~', value: 'v2' }),
      '/apps/0/image/labels/0/name: expected',
    ],
    [
      'a label twice',
      of({ name: 'n1', value: 'v1' }, { name: 'n1', value: 'v2' }),
      '/apps/0/image/labels/1: the label "n1" is there twice',
    ],
    ['extra fields', { goblins: [] }, '/goblins: the key is not known'],
    ['an app with extra fields', { apps: [{ ...app, trolls: [] }] }, '/apps/0/trolls: the key is not known'],
    [
      'an image with extra fields',
      { apps: [{ name: 'a', image: { id, stuff: [] } }] },
      '/apps/0/image/stuff: the key is not known',
    ],
    [
      'a label with extra fields',
      of({ name: 'n', value: 'v', color: 1 }),
      '/apps/0/image/labels/0/color: the key is not known',
    ],
  ])(
    '[A6.1] [A2.12] specification, and ours for extra fields (TestInvalidPodManifest): %s',
    (_what, members, problem) => {
      expect(() => parse(members as Record<string, unknown>)).toThrow(problem);
    },
  );

  it.each([
    ['{"acKind": "Bogus", "acVersion": "0.8.11",}', 'a key in double quotes'],
    ['<html><head><title>Certainly not a JSON</title></head></html>', 'expected a JSON value'],
    ['{}', 'the key "acKind" is missing'],
  ])('[A2.12] specification (TestBogusPodManifest, TestPodManifestMerge): %s', (text, problem) => {
    expect(() => parseText(text)).toThrow(problem);
  });

  it('[A6.4] specification: port names are unique among the apps of a pod', () => {
    const withPort = (name: string): Record<string, unknown> => ({
      name,
      image: { id },
      app: { user: '0', group: '0', ports: [{ name: 'http', protocol: 'tcp', port: 80 }] },
    });
    expect(() => parse({ apps: [withPort('a'), withPort('b')] })).toThrow(
      '/apps/1: the port "http" is there twice, in the app "a" too',
    );
  });

  it('[A6.5] specification: annotations of pods and apps are named by AC Identifiers too', () => {
    const annotations = [{ name: 'appc.io/executor/supports-systemd-notify', value: 'true' }];
    expect(parse({ annotations }).annotations).toEqual(annotations);
    expect(parseApp({ annotations }).apps[0]?.annotations).toEqual(annotations);
  });

  it('[A10.7] ours: a manifest over 128 KiB is refused before it is read', () => {
    expect(() => parsePodManifest(new Uint8Array(podManifestLimits.maxBytes + 1))).toThrow(
      'expected at most 131072',
    );
  });
});

describe('[A6.2] an app of a pod (pods.md#pod-manifest-schema, apps)', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['specification', { readOnlyRootFS: 'true' }, '/apps/0/readOnlyRootFS: expected true or false'],
    ['specification', { mounts: [{}] }, '/apps/0/mounts/0: the key "volume" is missing'],
    ['specification', { mounts: [{ volume: 'a' }] }, '/apps/0/mounts/0: the key "path" is missing'],
    [
      'specification',
      { mounts: [{ volume: 'a', path: 'b' }] },
      '/apps/0/mounts/0/path: expected an absolute path',
    ],
    [
      'ours',
      { mounts: ['a', 'b'].map((volume) => ({ volume, path: '/x' })) },
      'the mount path "/x" is there twice',
    ],
    [
      'specification',
      { mounts: [{ volume: 'a', path: '/b', appVolume: {} }] },
      '/apps/0/mounts/0/appVolume: the key',
    ],
    ['specification', { app: { exec: ['/a'] } }, '/apps/0/app: the key "user" is missing'],
    ['specification', { image: { id, name: 'Upper' } }, '/apps/0/image/name: expected an AC Identifier'],
    [
      'specification',
      { image: { id, labels: [{ name: 'name', value: '' }] } },
      '/apps/0/image/labels/0: a label may not',
    ],
  ])('%s: %j is refused', (_source, members, problem) => {
    expect(() => parseApp(members)).toThrow(problem);
  });
});

describe('[A6.3] a volume (pods.md#pod-manifest-schema, volumes)', () => {
  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['specification', { kind: 'empty' }, { readOnly: false, mode: 0o755, uid: 0, gid: 0 }],
    [
      'specification',
      { kind: 'empty', mode: '0777', uid: 1, gid: 2 },
      { readOnly: false, mode: 0o777, uid: 1, gid: 2 },
    ],
    ['specification', { kind: 'empty', mode: '1777' }, { readOnly: false, mode: 0o1777, uid: 0, gid: 0 }],
    // "only interpreted if kind is host"
    ['specification', { kind: 'empty', recursive: true }, { readOnly: false, mode: 0o755, uid: 0, gid: 0 }],
    ['specification', { kind: 'host', source: '/opt' }, { readOnly: false, source: '/opt', recursive: true }],
    [
      'specification',
      { kind: 'host', source: '/opt', readOnly: true, recursive: false },
      { readOnly: true, source: '/opt', recursive: false },
    ],
  ])('%s: %j is read', (_source, members, read) => {
    expect(parseVolume(members).volumes).toEqual([{ name: 'work', kind: members.kind, ...read }]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['specification', {}, '/volumes/0: the key "kind" is missing'],
    ['specification', { kind: 'tmpfs' }, '/volumes/0/kind: expected "empty" or "host"'],
    ['specification', { kind: 'host' }, '/volumes/0: the key "source" is missing'],
    ['specification', { kind: 'host', source: 'opt' }, '/volumes/0/source: expected an absolute path'],
    ['ours', { kind: 'host', source: '/opt/../etc' }, '/volumes/0/source: expected a path without ".."'],
    [
      'specification',
      { kind: 'host', source: '/opt', mode: '0755' },
      '/volumes/0/mode: a volume of kind "host" has no',
    ],
    [
      'specification',
      { kind: 'host', source: '/opt', uid: 0 },
      '/volumes/0/uid: a volume of kind "host" has no',
    ],
    [
      'specification',
      { kind: 'host', source: '/opt', gid: 0 },
      '/volumes/0/gid: a volume of kind "host" has no',
    ],
    [
      'specification',
      { kind: 'empty', source: '/opt' },
      '/volumes/0/source: a volume of kind "empty" has no',
    ],
    // The reference accepts any mode: docs/decisions/appc-differences.md, 10.
    ['specification', { kind: 'empty', mode: 'zzz' }, '/volumes/0/mode: expected permission bits'],
    ['specification', { kind: 'empty', mode: 755 }, '/volumes/0/mode: expected permission bits'],
    ['specification', { kind: 'empty', uid: 'root' }, '/volumes/0/uid: expected an integer'],
    ['ours', { kind: 'empty', gid: 4294967295 }, '/volumes/0/gid: expected an integer from 0 to 4294967294'],
  ])('%s: %j is refused', (_source, members, problem) => {
    expect(() => parseVolume(members)).toThrow(problem);
  });
});
