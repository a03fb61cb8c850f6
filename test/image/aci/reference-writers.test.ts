import { describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/index.ts';
import { parseImageManifest } from '../../../src/image/appc/index.ts';
import { readArchive } from '../../../src/image/aci/index.ts';
import { file, manifestText, type RawEntry, source, tar } from '../../support/raw-tar.ts';

/**
 * Archives as the reference's tools write them: appc/spec (aci/build.go, aci/writer.go,
 * pkg/tarheader), containers/build 0.4 (lib/write.go), appc/docker2aci (lib/internal/internal.go),
 * appc/goaci (proj2aci/builder.go).
 */
const read = (...entries: readonly RawEntry[]) =>
  readArchive(source(tar(...entries)), { limits: defaultArchiveLimits });

const rootfs: RawEntry = { name: 'rootfs', type: '5', mode: 0o755 };
const last = (text: string = manifestText): RawEntry => ({
  name: 'manifest',
  body: text,
  patch: [[265, 'root']],
});

const runnable = { exec: ['/bin/app'], user: '0', group: '0' };
/** The manifest of an image with other `fields`. */
const written = (fields: object): Buffer =>
  Buffer.from(JSON.stringify({ ...(JSON.parse(manifestText) as object), ...fields }));

describe('[reference-only] an archive of', () => {
  it('[A1.16] actool and acbuild is accepted: manifest last, directories without a slash, user names', async () => {
    const directory: RawEntry = { name: 'rootfs/bin', type: '5', mode: 0o755, patch: [[265, 'builder']] };
    await expect(read(rootfs, directory, file('rootfs/bin/app'), last())).resolves.toMatchObject({
      entries: 4,
    });
  });

  it('[A1.16] docker2aci is accepted: links in an implied /dev, and its annotations', async () => {
    const text = JSON.stringify({
      ...(JSON.parse(manifestText) as object),
      labels: [{ name: 'layer', value: 'f5c45d5f' }],
      app: {
        exec: null,
        user: '0',
        group: '0',
        ports: [{ name: '80-tcp', protocol: 'tcp', port: 80, count: 0, socketActivated: false }],
      },
      annotations: [
        { name: 'created', value: '0001-01-01T00:00:00Z' },
        { name: 'author', value: 'x' },
        { name: 'appc.io/docker/entrypoint', value: '["/app"]' },
      ],
      pathWhitelist: ['/dev/stdin'],
    });
    const link: RawEntry = { name: 'rootfs/dev/stdin', type: '2', linkname: '/proc/self/fd/0', mode: 0o777 };
    await expect(read(rootfs, link, last(text))).resolves.toMatchObject({ impliesDirectories: true });
  });

  it('[A1.16] a program of Go 1.8 or older is accepted: modes with the type of the file', async () => {
    const typed: RawEntry = { ...file('rootfs/app'), mode: 0o100755 };
    await expect(read({ ...rootfs, mode: 0o40755 }, typed, last())).resolves.toMatchObject({ entries: 3 });
  });

  const symlink: RawEntry = { name: 'rootfs/one', type: '2', linkname: 'target' };
  it.each<[string, readonly RawEntry[], string]>([
    [
      '[A1.17] actool is refused for a hard link to a symbolic link',
      [rootfs, symlink, { name: 'rootfs/two', type: '1', linkname: 'rootfs/one' }, last()],
      'archive-link-forbidden',
    ],
    [
      '[A1.17] actool is refused for a device node',
      [rootfs, { name: 'rootfs/null', type: '3' }, last()],
      'archive-entry-unsupported',
    ],
    [
      '[A1.17] docker2aci is refused for a hard link into a layer below',
      [rootfs, { name: 'rootfs/two', type: '1', linkname: 'rootfs/one' }, last()],
      'archive-link-forbidden',
    ],
    [
      '[A1.17] docker2aci is refused for a second rootfs',
      [rootfs, rootfs, last()],
      'archive-entry-duplicate',
    ],
    [
      "[A8.7] goaci is refused for Go's name of an architecture",
      [
        rootfs,
        last(
          JSON.stringify({
            ...(JSON.parse(manifestText) as object),
            labels: [
              { name: 'arch', value: 'arm64' },
              { name: 'os', value: 'linux' },
            ],
          }),
        ),
      ],
      'image-manifest-invalid',
    ],
  ])('%s', async (_what, entries, code) => {
    await expect(read(...entries)).rejects.toMatchObject({ code });
  });
});

describe('[reference-only] a manifest as Go writes it', () => {
  it('has one port where the count is 0, as docker2aci writes it', () => {
    const port = { name: '80-tcp', protocol: 'tcp', port: 80, count: 0, socketActivated: false };
    const { app } = parseImageManifest(written({ app: { ...runnable, ports: [port] } }));
    expect(app?.ports).toEqual([{ ...port, count: 1 }]);
  });

  it.each<[string, object]>([
    ['lists that are null', { labels: null, dependencies: null, annotations: null, pathWhitelist: null }],
    ['lists that are empty', { labels: [], dependencies: [], annotations: [], pathWhitelist: [] }],
    ['no app', { app: null }],
    [
      'members of an app that are null',
      { app: { ...runnable, eventHandlers: null, environment: null, isolators: null, userLabels: null } },
    ],
    [
      'a quantity that is null, and a default',
      {
        app: {
          ...runnable,
          isolators: [{ name: 'resource/cpu', value: { default: false, request: '100m', limit: null } }],
        },
      },
    ],
    [
      'a dependency without an ID',
      { dependencies: [{ imageName: 'example.com/b', imageID: null, labels: null, size: 0 }] },
    ],
    [
      'a date with nanoseconds',
      { annotations: [{ name: 'created', value: '2017-04-05T00:59:58.123456789Z' }] },
    ],
    [
      'the commands of acbuild 0.4, and no program (acbuild/acbuild.go, lib/appc/manifest.go)',
      {
        app: { user: '0', group: '0', exec: null },
        annotations: [
          { name: 'coreos.com/acbuild/command-1', value: 'acbuild set-name "example.com/app"' },
          { name: 'coreos.com/acbuild/command-2', value: 'acbuild run "apk" "add" "nginx"' },
        ],
      },
    ],
    [
      'a dependency by its tag, of acbuild dependency add (lib/appc/dependency.go)',
      {
        dependencies: [
          { imageName: 'quay.io/coreos/alpine-sh', labels: [{ name: 'version', value: 'latest' }] },
        ],
      },
    ],
    [
      'the state of a repository with changes, of goaci (proj2aci/vcs.go)',
      {
        labels: [
          { name: 'arch', value: 'amd64' },
          { name: 'os', value: 'linux' },
          { name: 'hg', value: 'f1e2d3c4b5a6+' },
          { name: 'svn', value: '4123:4168MS' },
        ],
      },
    ],
    ['a directory with a slash behind it', { app: { ...runnable, workingDirectory: '/app/' } }],
    [
      'an errno that is empty',
      {
        app: {
          ...runnable,
          isolators: [{ name: 'os/linux/seccomp-remove-set', value: { errno: '', set: ['@appc.io/empty'] } }],
        },
      },
    ],
  ])('is accepted with %s', (_what, fields) => {
    expect(parseImageManifest(written(fields)).name).toBe('example.com/app');
  });

  it('is accepted with acKind last, and characters of HTML escaped', () => {
    const text = written({ annotations: [{ name: 'authors', value: 'A <a@b.example> & c' }] })
      .toString()
      .replace('"acKind":"ImageManifest",', '')
      .replace(/}$/, ',"acKind":"ImageManifest"}')
      .replaceAll('<', '\\u003c');
    expect(parseImageManifest(Buffer.from(text)).annotations[0]?.value).toBe('A <a@b.example> & c');
  });
});
