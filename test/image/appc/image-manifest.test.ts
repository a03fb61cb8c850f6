// Labels as in docs/appc-checklist.md. Vectors of the specification and of its reference are facts
// from github.com/appc/spec at 259c2ee (spec/aci.md, examples/image.json and
// schema/types/{ackind,app,annotations,date,url,environment,exec,port,dependencies}_test.go,
// schema/image_test.go, schema/lastditch/image_test.go; Apache-2.0, Copyright 2014-2016 The appc
// Authors).
import { describe, expect, it } from 'vitest';
import {
  imageManifestLimits,
  parseImageManifest,
  serializeImageManifest,
} from '../../../src/image/appc/image-manifest.ts';
import { isTimestamp, isWebAddress } from '../../../src/image/appc/annotations.ts';
import type { App, ImageManifest } from '../../../src/image/appc/types.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

const parseText = (text: string): ImageManifest => parseImageManifest(new TextEncoder().encode(text));
const base = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/test' };
const parse = (members: Record<string, unknown>): ImageManifest =>
  parseText(JSON.stringify({ ...base, ...members }));
const account = { user: '0', group: '0' };
const parseApp = (members: Record<string, unknown>): App | undefined =>
  parse({ app: { ...account, ...members } }).app;
const id = `sha512-${'8d3fffddf79e9a23'.repeat(8)}`;

/**
 * The example of aci.md#image-manifest-schema; its image ID, an ellipsis there, is a full one here.
 */
const example = {
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/reduce-worker',
  labels: [
    { name: 'version', value: '1.0.0' },
    { name: 'arch', value: 'amd64' },
    { name: 'os', value: 'linux' },
  ],
  app: {
    exec: ['/usr/bin/reduce-worker', '--quiet'],
    user: '100',
    group: '300',
    supplementaryGids: [400, 500],
    eventHandlers: [
      { exec: ['/usr/bin/data-downloader'], name: 'pre-start' },
      { exec: ['/usr/bin/deregister-worker', '--verbose'], name: 'post-stop' },
    ],
    workingDirectory: '/opt/work',
    environment: [{ name: 'REDUCE_WORKER_DEBUG', value: 'true' }],
    isolators: [
      { name: 'resource/cpu', value: { request: '250m', limit: '500m' } },
      { name: 'resource/memory', value: { request: '1G', limit: '2G' } },
      { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_NET_BIND_SERVICE'] } },
    ],
    mountPoints: [{ name: 'work', path: '/var/lib/work', readOnly: false }],
    ports: [
      { name: 'health', port: 4000, protocol: 'tcp', socketActivated: true },
      { name: 'ftp-data', port: 20000, count: 1000, protocol: 'tcp' },
    ],
  },
  dependencies: [
    {
      imageName: 'example.com/reduce-worker-base',
      imageID: id,
      labels: [
        { name: 'os', value: 'linux' },
        { name: 'env', value: 'canary' },
      ],
      size: 22017258,
    },
  ],
  pathWhitelist: ['/etc/ca/example.com/crt', '/usr/bin/map-reduce-worker', '/etc/systemd/system/'],
  annotations: [
    {
      name: 'authors',
      value: 'Carly Container <carly@example.com>, Nat Network <[nat@example.com](mailto:nat@example.com)>',
    },
    { name: 'created', value: '2014-10-27T19:32:27.67021798Z' },
    { name: 'documentation', value: 'https://example.com/docs' },
    { name: 'homepage', value: 'https://example.com' },
    { name: 'appc.io/executor/supports-systemd-notify', value: 'false' },
  ],
};

describe('an image manifest (aci.md#image-manifest-schema)', () => {
  it("[A3.1] specification: the text's example is accepted unchanged", () => {
    expect(parseText(JSON.stringify(example))).toEqual({
      acVersion: '0.8.11',
      name: 'example.com/reduce-worker',
      labels: example.labels,
      app: {
        exec: ['/usr/bin/reduce-worker', '--quiet'],
        ...{ user: '100', group: '300', supplementaryGids: [400, 500] },
        eventHandlers: [
          { name: 'pre-start', exec: ['/usr/bin/data-downloader'] },
          { name: 'post-stop', exec: ['/usr/bin/deregister-worker', '--verbose'] },
        ],
        workingDirectory: '/opt/work',
        environment: [{ name: 'REDUCE_WORKER_DEBUG', value: 'true' }],
        isolators: example.app.isolators,
        mountPoints: [{ name: 'work', path: '/var/lib/work', readOnly: false }],
        ports: [
          { name: 'health', protocol: 'tcp', port: 4000, count: 1, socketActivated: true },
          { name: 'ftp-data', protocol: 'tcp', port: 20000, count: 1000, socketActivated: false },
        ],
      },
      dependencies: [
        {
          imageName: 'example.com/reduce-worker-base',
          imageId: id,
          labels: example.dependencies[0]?.labels,
          sizeBytes: 22017258n,
        },
      ],
      pathWhitelist: example.pathWhitelist,
      annotations: example.annotations,
    });
  });

  it('[A3.6] reference-only (TestEmptyApp): a manifest without an app stays without one', () => {
    const manifest = parse({});
    expect(manifest).toEqual({
      acVersion: '0.8.11',
      name: 'example.com/test',
      ...{ labels: [], dependencies: [], pathWhitelist: [], annotations: [] },
    });
    expect(new TextDecoder().decode(serializeImageManifest(manifest))).toBe(
      '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/test"}',
    );
  });

  it('[A3.18] ours: is written in one form, in the order of the specification and without defaults', () => {
    const bytes = serializeImageManifest(parseText(JSON.stringify(example)));
    expect(serializeImageManifest(parseImageManifest(bytes))).toEqual(bytes);
    const text = new TextDecoder().decode(bytes);
    expect(text).toContain('"supplementaryGIDs":[400,500]');
    expect(text).toContain('{"name":"work","path":"/var/lib/work"}');
  });

  it('[A2.12] reference-only: null means an absent optional member, as Go writes it', () => {
    const nothing = { labels: null, app: null, dependencies: null, pathWhitelist: null, annotations: null };
    expect(parse(nothing)).toEqual(parse({}));
    expect(parseApp({ exec: null })?.exec).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['[A2.4] specification', { acKind: undefined }, 'the key "acKind" is missing'],
    ['[A2.4] specification', { acKind: '' }, '/acKind: expected "ImageManifest", found ""'],
    ...['Foo', 'ApplicationManifest', 'garbage', 'imagemanifest'].map(
      (acKind): [string, Record<string, unknown>, string] => [
        '[A2.4] specification',
        { acKind },
        `/acKind: expected "ImageManifest", found "${acKind}"`,
      ],
    ),
    ['[A2.4] specification', { acKind: 'AppManifest' }, '/acKind: expected "ImageManifest"'],
    [
      '[A2.4] specification',
      { acKind: 'PodManifest' },
      '/acKind: expected "ImageManifest", found "PodManifest"',
    ],
    ['[A2.5] specification', { acVersion: undefined }, 'the key "acVersion" is missing'],
    ['[A2.5] specification', { acVersion: '' }, '/acVersion: expected a version'],
    ['[A2.5] reference-only', { acVersion: '0.0.0' }, '/acVersion: expected a version'],
    ['[A2.5] specification', { acVersion: '99.0.0' }, '/acVersion: expected a version of the series 0'],
    ['[A2.5] specification', { acVersion: '1.0.0' }, '/acVersion: expected a version of the series 0'],
    ['[A2.5] specification', { acVersion: '0.8' }, '/acVersion: expected a version'],
    ['[A3.1] specification', { name: 'EXAMPLE.com/x' }, '/name: expected an AC Identifier'],
    ['[A3.1] specification', { name: 'example.com/../../etc' }, '/name: expected an AC Identifier'],
    ['[A3.1] specification', { name: null }, '/name: expected an AC Identifier'],
    ['[A2.12] ours', { Labels: [] }, '/Labels: the key is not known, expected "labels"'],
    ['[A2.12] ours', { isolators: [] }, '/isolators: the key is not known'],
    ['[A3.6] ours', { app: [] }, '/app: expected an object, found a list'],
    [
      '[A3.4] specification',
      { pathWhitelist: ['etc'] },
      '/pathWhitelist/0: expected an absolute path, found "etc"',
    ],
    ['[A3.4] ours', { pathWhitelist: ['/etc/../x'] }, '/pathWhitelist/0: expected a path without ".."'],
    ['[A3.4] ours', { pathWhitelist: [null] }, '/pathWhitelist/0: expected a string, found null'],
    [
      '[A3.4] ours',
      { pathWhitelist: [`/${'é'.repeat(2048)}`] },
      '/pathWhitelist/0: expected a path of at most 4095 bytes',
    ],
    ['[A3.5] specification', { dependencies: [{}] }, '/dependencies/0: the key "imageName" is missing'],
    [
      '[A3.5] specification',
      { dependencies: [{ imageName: 'a', imageID: 'sha512-...' }] },
      '/dependencies/0/imageID: expected an image ID',
    ],
    [
      '[A3.5] specification',
      { dependencies: [{ imageName: 'a', size: -1 }] },
      '/dependencies/0/size: expected a number of',
    ],
    [
      '[A3.5] specification',
      { dependencies: [{ imageName: 'a', size: 1.5 }] },
      '/dependencies/0/size: expected a number of',
    ],
    [
      '[A3.5] specification',
      { dependencies: [{ imageName: 'a', size: '1' }] },
      '/dependencies/0/size: expected a number of',
    ],
  ])('%s: %j is refused', (_source, members, problem) => {
    expect(() => parse(members)).toThrow(problem);
    expect(() => parse(members)).toThrow(
      expect.objectContaining({ code: 'image-manifest-invalid' }) as Refusal,
    );
  });

  // The reference accepts these in its lenient reader, which lists images that it would not run.
  // wherry has no such reader.
  it.each<[string, Record<string, unknown>, string]>([
    ['an empty manifest', { name: '', labels: [] }, '/name: expected an AC Identifier'],
    ['an empty label', { labels: [{ name: '', value: '' }] }, '/labels/0/name: expected an AC Identifier'],
    ['an invalid name', { name: 'example.com/test!', labels: [] }, '/name: expected an AC Identifier'],
    [
      'labels with invalid names',
      { labels: ['!n1', 'N2~'].map((name) => ({ name, value: 'v' })) },
      '/labels/0/name: expected an AC Identifier',
    ],
    [
      'duplicated labels',
      { labels: ['v1', 'v2'].map((value) => ({ name: 'n1', value })) },
      '/labels/1: the label "n1" is there twice',
    ],
    ['extra fields', { labels: [], stuff: [] }, '/stuff: the key is not known'],
    [
      'a label with extra fields',
      { labels: [{ name: 'n1', value: 'v1', clutter: 1 }] },
      '/labels/0/clutter: the key is not known',
    ],
  ])(
    '[A2.12] [A3.2] specification, and ours for extra fields (TestInvalidImageManifest): %s',
    (_what, members, problem) => {
      expect(() => parse(members)).toThrow(problem);
    },
  );

  it('[A3.5] specification (TestEmptyHash): a dependency needs only a name', () => {
    const manifest = parse({ dependencies: [{ imageName: 'example.com/reduce-worker-base' }] });
    expect(manifest.dependencies).toEqual([{ imageName: 'example.com/reduce-worker-base', labels: [] }]);
    expect(parseImageManifest(serializeImageManifest(manifest))).toEqual(manifest);
  });

  it('[A2.13] [A3.5] ours: keeps sizes above 2^53 exactly', () => {
    const text = JSON.stringify({ ...base, dependencies: [{ imageName: 'a', size: 0 }] });
    const sizeOf = (size: string): unknown =>
      parseText(text.replace('"size":0', `"size":${size}`)).dependencies[0]?.sizeBytes;
    expect(sizeOf('9007199254740993')).toBe(9007199254740993n);
    expect(() => sizeOf('9223372036854775808')).toThrow('/dependencies/0/size: expected a number of bytes');
  });

  it.each([
    ['garbage', 'expected a JSON value'],
    ['', 'expected a JSON value'],
    ['[]', 'expected an object, found a list'],
    ['{"acKind":"ImageManifest","acKind":"ImageManifest"}', '/acKind: the key is there twice'],
    ['{"app":{"user":"0","user":"root"}}', '/app/user: the key is there twice'],
    // schema/lastditch (TestBogusImageManifest) and schema (TestImageManifestMerge)
    ['{"acKind": "Bogus", "acVersion": "0.8.11",}', 'a key in double quotes'],
    ['<html><head><title>Certainly not a JSON</title></head></html>', 'expected a JSON value'],
    ['{"name":"example.com/test"}', 'the key "acKind" is missing'],
  ])('[A2.12] specification, and ours for doubled keys: %j is refused', (text, problem) => {
    expect(() => parseText(text)).toThrow(problem);
    expect(() => parseText(text)).toThrow(Refusal);
  });

  it('[A10.7] ours: a manifest over 4 MiB is refused before it is read', () => {
    expect(() => parseImageManifest(new Uint8Array(imageManifestLimits.maxBytes + 1))).toThrow(
      'expected at most 4194304',
    );
  });

  it('[A3.17] ours: a message has the JSON pointer of the value and what was expected', () => {
    const isolators = [
      { name: 'resource/cpu', value: { limit: '20m' } },
      { name: 'os/linux/no-new-privileges', value: true },
      { name: 'resource/memory', value: { limit: 'lots' } },
    ];
    expect(() => parseApp({ isolators })).toThrow(
      'image manifest: /app/isolators/2/value/limit: expected a quantity such as "512Mi", "1.5G" or "250m", found "lots"',
    );
  });
});

describe('the app of an image (aci.md#image-manifest-schema, app)', () => {
  it.each<[string, Record<string, unknown>]>([
    ['[A3.7] specification', { exec: ['/bin/httpd'], workingDirectory: '/tmp' }],
    ['[A3.7] specification', { exec: ['/app'] }],
    ['[A3.7] specification', { exec: ['/app', 'arg1', 'arg2'] }],
    ['[A3.7] specification', { exec: [] }],
    ['[A3.7] specification', {}],
    ['[A3.7] specification', { exec: ['app'] }],
    ['[A3.7] specification', { exec: ['bin/app', 'arg1'] }],
    ['[A3.8] specification', { user: 'root', group: 'users' }],
    ['[A3.8] specification', { user: '/usr/bin/ping', group: '/usr/bin/ping' }],
    ['[A3.10] specification', { supplementaryGIDs: [0, 4294967294] }],
    [
      '[A3.13] specification',
      { environment: ['DEBUG', '_0_DEBUG_0_', 'DEBUG.0', 'DEBUG-0'].map((name) => ({ name, value: '' })) },
    ],
    ['[A3.13] specification', { environment: [{ name: 'A', value: '$B\n"\'%' }] }],
    ['[A3.15] specification', { ports: [{ name: 'a', protocol: 'sctp', port: 65535 }] }],
    ['[A3.15] specification', { ports: [{ name: 'a', protocol: 'tcp', port: 32456, count: 100 }] }],
    ['[A3.16] specification', { userAnnotations: { 'weird!': 'normal?' }, userLabels: { 'one!': 'two?' } }],
    ['[A2.7] ours', { isolators: [{ name: 'resource/network-ponies', value: [1, { a: null }] }] }],
  ])('%s: %j is valid', (_source, members) => {
    expect(parseApp(members)).toBeDefined();
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['[A3.8] specification', { user: undefined, group: undefined }, '/app: the key "user" is missing'],
    ['[A3.8] specification', { group: undefined }, '/app: the key "group" is missing'],
    ['[A3.8] specification', { user: undefined }, '/app: the key "user" is missing'],
    ['[A3.8] reference-only', { user: '' }, '/app/user: expected a user or group'],
    ['[A3.8] ours', { user: 'a\nb' }, '/app/user: expected a user or group'],
    ['[A3.8] ours', { group: 'a:b' }, '/app/group: expected a user or group'],
    ['[A3.8] ours', { user: '/a/../b' }, '/app/user: expected a path without'],
    ['[A3.8] specification', { user: 0 }, '/app/user: expected a string, found 0'],
    ['[A2.12] ours', { Exec: ['notfullyqualified'] }, '/app/Exec: the key is not known, expected "exec"'],
    ['[A3.7] specification', { exec: 'not a list' }, '/app/exec: expected a list'],
    // The reference accepts any case: docs/decisions/appc-differences.md, 1.
    ['[A2.12] ours', { Exec: ['/a'] }, '/app/Exec: the key is not known, expected "exec"'],
    ['[A3.7] ours', { exec: [''] }, '/app/exec/0: expected the name of a program'],
    ['[A3.7] ours', { exec: ['/a', 'b\0c'] }, '/app/exec/1: expected a string without NUL'],
    ['[A3.7] ours', { exec: ['/a', 1] }, '/app/exec/1: expected a string'],
    [
      '[A3.12] specification',
      { workingDirectory: 'stuff' },
      '/app/workingDirectory: expected an absolute path',
    ],
    [
      '[A3.12] specification',
      { workingDirectory: '../home/fred' },
      '/app/workingDirectory: expected an absolute path',
    ],
    ['[A3.10] specification', { supplementaryGIDs: [-1] }, '/app/supplementaryGIDs/0: expected an integer'],
    [
      '[A3.10] ours',
      { supplementaryGIDs: [4294967295] },
      '/app/supplementaryGIDs/0: expected an integer from 0 to 4294967294',
    ],
    [
      '[A3.10] ours',
      { supplementaryGIDs: [1], supplementaryGids: [2] },
      '/app/supplementaryGids: the key is there twice',
    ],
    [
      '[A3.13] reference-only',
      { environment: [{ name: '0DEBUG', value: 'x' }] },
      '/app/environment/0/name: expected a variable',
    ],
    [
      '[A3.13] reference-only',
      { environment: [{ name: '', value: 'x' }] },
      '/app/environment/0/name: expected a variable',
    ],
    [
      '[A3.13] specification',
      { environment: [{ name: 'VERBOSE|DEBUG', value: 'x' }] },
      '/app/environment/0/name: expected a variable',
    ],
    [
      '[A3.13] reference-only',
      { environment: ['1', '2'].map((value) => ({ name: 'DEBUG', value })) },
      '/app/environment/1: the variable "DEBUG" is there twice',
    ],
    [
      '[A3.13] ours',
      { environment: [{ name: 'A', value: 'x\0' }] },
      '/app/environment/0/value: expected a string without NUL',
    ],
    [
      '[A3.11] specification',
      { eventHandlers: ['a', 'b'].map((program) => ({ name: 'pre-start', exec: [program] })) },
      '/app/eventHandlers/1: the event handler "pre-start" is there twice',
    ],
    [
      '[A3.11] specification',
      { eventHandlers: [{ name: 'post-start', exec: ['a'] }] },
      '/name: expected "pre-start" or "post-stop"',
    ],
    [
      '[A3.11] specification',
      { eventHandlers: ['post-stop', 'pre-start', 'post-stop'].map((name) => ({ name, exec: ['a'] })) },
      '/app/eventHandlers/2: the event handler "post-stop" is there twice',
    ],
    // A valid vector of the reference, which the text excludes: docs/decisions/appc-differences.md,
    // 10.
    [
      '[A3.11] specification',
      { eventHandlers: [{ name: 'pre-start' }] },
      '/app/eventHandlers/0: the key "exec" is missing',
    ],
    [
      '[A3.11] specification',
      { eventHandlers: [{ name: 'pre-start', exec: [] }] },
      'expected an "exec" with the name of a program',
    ],
    [
      '[A3.14] specification',
      { mountPoints: [{ name: 'a', path: 'b' }] },
      '/app/mountPoints/0/path: expected an absolute path',
    ],
    [
      '[A3.14] specification',
      { mountPoints: [{ name: 'a', path: '' }] },
      '/app/mountPoints/0/path: expected an absolute path',
    ],
    [
      '[A3.14] specification',
      { mountPoints: [{ name: 'a.b', path: '/b' }] },
      '/app/mountPoints/0/name: expected an AC Name',
    ],
    [
      '[A3.14] specification',
      { mountPoints: [{ name: 'a', path: '/b', readOnly: 'yes' }] },
      '/readOnly: expected true or false',
    ],
    [
      '[A3.14] ours',
      { mountPoints: ['/a', '/b'].map((path) => ({ name: 'data', path })) },
      '/app/mountPoints/1: the mount point "data" is there twice',
    ],
    [
      '[A3.15] specification',
      { ports: [{ name: 'a', protocol: 'tcp', port: 88888 }] },
      '/port: expected an integer from 1 to 65535',
    ],
    [
      '[A3.15] specification',
      { ports: [{ name: 'a', protocol: 'tcp', port: 0 }] },
      '/port: expected an integer from 1',
    ],
    [
      '[A3.15] specification',
      { ports: [{ name: 'a', protocol: 'tcp', port: 1, count: -1 }] },
      '/count: expected an integer from 0',
    ],
    [
      '[A3.15] specification',
      { ports: [{ name: 'a', protocol: 'tcp', port: 32456, count: 45678 }] },
      'expected ports up to 65535',
    ],
    [
      '[A3.15] ours',
      { ports: [{ name: 'a', protocol: 'tcp', port: 65535, count: 2 }] },
      'expected ports up to 65535',
    ],
    [
      '[A3.15] specification',
      { ports: [{ name: 'a', port: 1 }] },
      '/app/ports/0: the key "protocol" is missing',
    ],
    [
      '[A3.15] ours',
      { ports: [{ name: 'a', protocol: '', port: 1 }] },
      '/app/ports/0/protocol: expected the name',
    ],
    [
      '[A3.15] ours',
      { ports: [1, 2].map((port) => ({ name: 'a', protocol: 'tcp', port })) },
      'the port "a" is there twice',
    ],
    ['[A3.16] specification', { userAnnotations: { a: 1 } }, '/app/userAnnotations/a: expected a string'],
    ['[A3.16] specification', { userLabels: ['a'] }, '/app/userLabels: expected an object'],
    [
      '[A2.7] specification',
      { isolators: [{ name: 'resource/cpu' }] },
      '/app/isolators/0: the key "value" is missing',
    ],
    [
      '[A2.7] specification',
      { isolators: [{ name: 'CPU', value: 1 }] },
      '/app/isolators/0/name: expected an AC Identifier',
    ],
    [
      '[A2.7] specification',
      { isolators: [{ name: 'os/unix/sysctl', value: {} }] },
      '/app/isolators/0: the isolator',
    ],
  ])('%s: %j is refused', (_source, members, problem) => {
    expect(() => parseApp(members)).toThrow(problem);
  });

  it('[A3.10] specification: both spellings of the supplementary groups mean the same', () => {
    expect(parseApp({ supplementaryGIDs: [400, 500] })).toEqual(parseApp({ supplementaryGids: [400, 500] }));
  });

  it('[A3.12] [A3.14] specification: by default works in / and has writable mounts', () => {
    const read = parseApp({ mountPoints: [{ name: 'a', path: '/a' }] });
    expect(read?.workingDirectory).toBe('/');
    expect(read?.mountPoints[0]?.readOnly).toBe(false);
  });

  it('[A2.13] [A3.16] ours: __proto__ is an ordinary key in user annotations', () => {
    const text = JSON.stringify({ ...base, app: { ...account, userAnnotations: {} } });
    const read = parseText(text.replace('"userAnnotations":{}', '"userAnnotations":{"__proto__":"x"}'));
    expect(new TextDecoder().decode(serializeImageManifest(read))).toContain('{"__proto__":"x"}');
  });
});

describe('[A3.3] annotations (aci.md#image-manifest-schema)', () => {
  const annotate = (...pairs: [string, string][]): unknown =>
    parse({ annotations: pairs.map(([name, value]) => ({ name, value })) });

  it.each<[string, [string, string][]]>([
    ['specification', []],
    ['specification', [['a', 'b']]],
    [
      'specification',
      [
        ['foo', 'bar'],
        ['website', 'http://example.com/anno'],
      ],
    ],
    [
      'specification',
      [
        ['created', '2004-05-14T23:11:14+00:00'],
        ['documentation', 'http://example.com/docs'],
      ],
    ],
    [
      'specification',
      [
        ['foo', 'bar'],
        ['homepage', 'https://homepage.com'],
      ],
    ],
    ['specification', [['appc.io/executor/supports-systemd-notify', 'false']]],
    ['specification', [['example.com/foo_bar', 'quux']]],
    ['specification', [['appc.io/executor/supports-systemd-notify', 'true']]],
  ])('%s: %j are valid', (_source, pairs) => {
    expect(annotate(...pairs)).toHaveProperty('annotations.length', pairs.length);
  });

  it.each<[string, [string, string][], string]>([
    [
      'specification',
      [
        ['foo', 'bar'],
        ['foo', 'baz'],
      ],
      '/annotations/1: the annotation "foo" is there twice',
    ],
    [
      'specification',
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
      '/annotations/1: the annotation "a" is there twice',
    ],
    [
      'specification',
      [
        ['foo', 'bar'],
        ['foo', 'baz'],
        ['website', 'http://example.com/anno'],
      ],
      '/annotations/1: the annotation "foo" is there twice',
    ],
    ['specification', [['created', 'garbage']], '/annotations/0/value: expected a time by RFC 3339'],
    ['specification', [['homepage', 'not-A$@#URL']], '/annotations/0/value: expected an http or https URL'],
    [
      'specification',
      [['documentation', 'ftp://isnotallowed.com']],
      '/annotations/0/value: expected an http or https URL',
    ],
    [
      'specification',
      [['appc.io/executor/supports-systemd-notify', 'yes']],
      '/annotations/0/value: expected "true"',
    ],
    ['specification', [['Foo', 'bar']], '/annotations/0/name: expected an AC Identifier'],
  ])('%s: %j are refused', (_source, pairs, problem) => {
    expect(() => annotate(...pairs)).toThrow(problem);
  });
});

describe('[A2.8] timestamps (types.md#timestamps-type)', () => {
  it.each([
    ['specification', '2004-05-14T23:11:14+00:00'],
    ['specification', '2001-02-03T04:05:06Z'],
    ['specification', '2014-11-14T17:36:54-08:00'],
    ['specification', '2015-05-18T13:49:28.351729952-04:00'],
    ['specification', '2014-10-27T19:32:27.67021798Z'],
    // RFC 3339 allows these two, the reference does not: docs/decisions/appc-differences.md, 11.
    ['specification', '2001-02-03t04:05:06z'],
    ['specification', '1990-12-31T23:59:60Z'],
    ['ours', '2024-02-29T00:00:00Z'],
  ])('%s: %j is accepted', (_source, text) => {
    expect(isTimestamp(text)).toBe(true);
  });

  it.each([
    ...[
      'not a json string',
      'garbage',
      '1416015188',
      'Fri Nov 14 17:53:02 PST 2014',
      '2014-11-1417:36:54',
    ].map((text) => ['specification', text]),
    ['specification', '2015-05-18 13:49:28Z'],
    ...['2015-05-18T13:49:28', '2015-13-18T13:49:28Z', '2015-00-18T13:49:28Z', '2023-02-29T00:00:00Z'].map(
      (text) => ['ours', text],
    ),
    ...['1900-02-29T00:00:00Z', '2015-05-18T24:00:00Z', '2015-05-18T13:60:00Z', '2015-05-18T13:49:60Z'].map(
      (text) => ['ours', text],
    ),
    ...[
      '2015-05-18T13:49:61Z',
      '2015-05-00T13:49:28Z',
      '2015-05-18T13:49:28+24:00',
      '2015-05-18T13:49:28Z\n',
    ].map((text) => ['ours', text]),
  ])('%s: %j is refused', (_source, text = '') => {
    expect(isTimestamp(text)).toBe(false);
  });
});

describe('[A2.11] web addresses of annotations (aci.md#image-manifest-schema)', () => {
  it.each([
    ...['http://foo.com', 'http://foo.com/huh/what?is=this', 'https://example.com/bar'],
    ...['http://yis.com/hello?goodbye=yes', 'https://ohai.net', 'http://[::1]:8080/', 'HTTPS://example.com'],
  ])('specification: %j is one', (text) => {
    expect(isWebAddress(text)).toBe(true);
  });

  it.each([
    ...['badjson', 'ftp://example.com', 'ftp://foo.com', 'unix://file.net', 'unix:///hello', 'not a url'].map(
      (text) => ['specification', text],
    ),
    // The reference accepts the first.
    ...['https:foo', '', 'https://', 'http:///path', 'https://exa mple.com', 'https://example.com/\n'].map(
      (text) => ['ours', text],
    ),
    ['ours', 'http://a:99999/'],
  ])('%s: %j is refused', (_source, text = '') => {
    expect(isWebAddress(text)).toBe(false);
  });
});
