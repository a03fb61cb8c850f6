import { describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/index.ts';
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
        ports: [{ name: '80-tcp', protocol: 'tcp', port: 80, count: 1, socketActivated: false }],
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
