import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ConvertedImage, fromOci } from '../../../src/operator/oci/from-oci.ts';
import { file, pax, type RawEntry, tar } from '../../support/raw-tar.ts';
import { digestOf, type Json, MadeImage, madeImage } from './made-image.ts';
import { registryAccess } from './registry-access.ts';
import { run } from '../../support/oci-tools.ts';

let directory: string;
const at = (...names: string[]): string => join(directory, ...names);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-hostile-'));
  mkdirSync(at('out'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const convert = (source: string): Promise<ConvertedImage> =>
  fromOci({
    source,
    output: at('out/app.aci'),
    compression: 'gzip',
    name: 'example.com/app',
    labels: [],
    layers: 'example.com/layers',
    maxUnpackedBytes: 16 << 20,
    registry: registryAccess,
    onLayer: () => undefined,
  });

/** Expects one sentence that begins with the name of the image, and no written file. */
async function expectRefused(source: string, code: string, rule: RegExp): Promise<void> {
  const error = await convert(source).then(
    () => undefined,
    (reason: unknown) => reason as Error & { code?: string },
  );
  expect(error).toMatchObject({ name: 'Refusal', code });
  expect(error?.message).toMatch(rule);
  expect(error?.message.startsWith(source)).toBe(true);
  expect(error?.message).not.toMatch(/\n/);
  expect(readdirSync(at('out'))).toEqual([]);
}

const plain = tar(file('a', 'content'));

describe('an OCI image is refused, by its name, the field and the rule, with nothing left on the disk, when', () => {
  it.each<[string, () => MadeImage, string, RegExp]>([
    [
      'a layer is larger than its descriptor says',
      () => {
        const made = new MadeImage();
        return made.root(
          made.manifest(made.config([digestOf(plain)]), [{ ...made.layer(plain), size: 100 }]),
        );
      },
      'input-invalid',
      /the blob sha256:[0-9a-f]{12} has more than the 100 bytes that its descriptor says/,
    ],
    [
      'a layer is smaller than its descriptor says',
      () => {
        const made = new MadeImage();
        return made.root(
          made.manifest(made.config([digestOf(plain)]), [{ ...made.layer(plain), size: 4096 }]),
        );
      },
      'input-invalid',
      /the blob sha256:[0-9a-f]{12} has \d+ bytes, its descriptor says 4096/,
    ],
    [
      'a layer has other content than its digest says',
      () => {
        const made = madeImage(plain);
        made.blobs.set(digestOf(plain), Buffer.from(tar(file('a', 'CONTENT'))));
        return made;
      },
      'input-invalid',
      /the blob sha256:[0-9a-f]{12} has other content than its digest says/,
    ],
    [
      'a manifest has other content than its digest says',
      () => {
        const made = new MadeImage();
        const manifest = made.manifest(made.config([]), []);
        made.blobs.set(manifest.digest, Buffer.alloc(manifest.size, 0x20));
        return made.root(manifest);
      },
      'input-invalid',
      /has other content than its digest says/,
    ],
    [
      'a layer is another than the one that its config names',
      () => {
        const made = new MadeImage();
        return made.root(made.manifest(made.config([digestOf(Buffer.from('other'))]), [made.layer(plain)]));
      },
      'input-invalid',
      /layer 1 is not the one that its config names/,
    ],
    [
      'its config names more layers than its manifest',
      () => {
        const made = new MadeImage();
        return made.root(made.manifest(made.config([digestOf(plain), digestOf(plain)]), [made.layer(plain)]));
      },
      'input-invalid',
      /its config names 2 layers, its manifest 1/,
    ],
    [
      'a blob is not there',
      () => {
        const made = madeImage(plain);
        made.blobs.delete(digestOf(plain));
        return made;
      },
      'not-found',
      /it has no blob sha256:[0-9a-f]{12}$/,
    ],
    [
      'a foreign layer is not there: its addresses are not asked',
      () => {
        const made = new MadeImage();
        const urls = ['http://127.0.0.1:1/layer'];
        const foreign = {
          ...made.layer(plain, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'),
          urls,
        };
        made.blobs.clear();
        return made.root(made.manifest(made.config([digestOf(plain)]), [foreign]));
      },
      'not-found',
      /it has no blob .*; layer 1 is a foreign one, which is not fetched from the other addresses/,
    ],
    [
      'indexes lie in one another without end',
      () => {
        const made = new MadeImage();
        let inner: Json = made.manifest(made.config([]), []);
        for (let depth = 0; depth < 6; depth++) {
          inner = made.blob(
            { schemaVersion: 2, manifests: [inner] },
            'application/vnd.oci.image.index.v1+json',
          );
        }
        return made.root(inner);
      },
      'input-invalid',
      /its indexes lie more than 4 deep in one another/,
    ],
    [
      'an index names itself: no digest is that of a document that names it',
      () => {
        const made = new MadeImage();
        const loop = {
          mediaType: 'application/vnd.oci.image.index.v1+json',
          digest: `sha256:${'a'.repeat(64)}`,
        };
        const bytes = Buffer.from(
          JSON.stringify({ schemaVersion: 2, manifests: [{ ...loop, size: 1000 }] }).padEnd(1000),
        );
        made.blobs.set(loop.digest, bytes);
        return made.root({ ...loop, size: 1000 });
      },
      'input-invalid',
      /has other content than its digest says/,
    ],
    [
      'it has too many layers',
      () => {
        const made = new MadeImage();
        const layers = Array.from({ length: 513 }, () => made.layer(plain));
        return made.root(made.manifest(made.config([]), layers));
      },
      'input-invalid',
      /\/layers has 513 members, at most 512 are allowed/,
    ],
    [
      'a layer is larger than any image may be',
      () => {
        const made = new MadeImage();
        return made.root(
          made.manifest(made.config([digestOf(plain)]), [{ ...made.layer(plain), size: 2 ** 24 + 1 }]),
        );
      },
      'archive-too-large',
      /\/layers\/0\/size is 16777217, at most 16777216 bytes are allowed; allow more with --max-unpacked/,
    ],
    [
      'a document is larger than any may be',
      () => {
        const made = new MadeImage();
        return made.root({ ...made.manifest(made.config([]), []), size: (4 << 20) + 1 });
      },
      'input-invalid',
      /the document sha256:[0-9a-f]{12} has 4194305 bytes; the limit is 4194304/,
    ],
    [
      'a layer unpacks to more than was allowed',
      () => {
        const made = new MadeImage();
        const bomb = tar({ name: 'a', body: Buffer.alloc(17 << 20) });
        const layer = made.layer(gzipSync(bomb, { level: 9 }), 'application/vnd.oci.image.layer.v1.tar+gzip');
        return made.root(made.manifest(made.config([digestOf(bomb)]), [layer]));
      },
      'archive-too-large',
      /layer 1: it unpacks to more than 16777216 bytes; allow more with --max-unpacked/,
    ],
    [
      'it is a chart, not an image',
      () => {
        const made = new MadeImage();
        const config = made.blob({ name: 'chart' }, 'application/vnd.cncf.helm.config.v1+json');
        return made.root(
          made.manifest(config, [made.layer(plain, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip')]),
        );
      },
      'input-invalid',
      /\/config\/mediaType is "application\/vnd\.cncf\.helm\.config\.v1\+json", not the config of an image/,
    ],
    [
      'a layer is encrypted',
      () => {
        const made = new MadeImage();
        const layer = made.layer(plain, 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted');
        return made.root(made.manifest(made.config([digestOf(plain)]), [layer]));
      },
      'input-invalid',
      /\/layers\/0\/mediaType is ".*encrypted": the layer is encrypted/,
    ],
    [
      'its index says another architecture than its config',
      () => {
        const made = new MadeImage();
        const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
        return made.root({ ...made.manifest(made.config([]), []), platform });
      },
      'image-arch-mismatch',
      /its index says that it is for "linux\/arm\/v7", its config says "linux\/arm64"/,
    ],
    [
      'it is for a system that nobody here runs',
      () => {
        const made = new MadeImage();
        return made.root(made.manifest(made.config([], { os: 'windows' }), []));
      },
      'image-arch-mismatch',
      /it is for "windows\/arm64", which App Container Images have no name for/,
    ],
    [
      'it is of the first schema of Docker',
      () => {
        const made = new MadeImage();
        return made.root(
          made.blob(
            { schemaVersion: 1, fsLayers: [] },
            'application/vnd.docker.distribution.manifest.v1+prettyjws',
          ),
        );
      },
      'input-invalid',
      /\/schemaVersion: expected 2/,
    ],
  ])('%s', async (_what, make, code, rule) => {
    await expectRefused(make().write(at('image')), code, rule);
  });

  it.each<[string, RawEntry[], string, RegExp]>([
    [
      'has sparse files that are not kept and come to more than was allowed',
      [1, 2].flatMap((number) => [
        pax({
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': `.wh..wh.aufs/${number}`,
          'GNU.sparse.realsize': '9000000',
        }),
        // A map without regions, which occupies a block.
        file('x', '0\n'.padEnd(512, '\0')),
      ]),
      'archive-too-large',
      /layer 1: it unpacks to more than 16777216 bytes; allow more with --max-unpacked/,
    ],
    [
      'has a path that climbs',
      [file('../../evil')],
      'archive-path-forbidden',
      /layer 1: the path "\.\.\/\.\.\/evil" leads out/,
    ],
    [
      'has an absolute path that climbs',
      [file('/a/../../evil')],
      'archive-path-forbidden',
      /layer 1: the path .* leads out/,
    ],
    [
      'has a whiteout that climbs',
      [file('../.wh.evil', '')],
      'archive-path-forbidden',
      /layer 1: the path .* leads out/,
    ],
    [
      'has a hard link that climbs',
      [{ name: 'a', type: '1', linkname: '../../etc/passwd' }],
      'archive-link-forbidden',
      /layer 1: .*leads out/,
    ],
    [
      'writes through a link that leads nowhere',
      [{ name: 'out', type: '2', linkname: '../../../elsewhere' }, file('out/evil')],
      'archive-path-forbidden',
      /layer 1: "out\/evil" is behind the link "out", which does not lead to a directory/,
    ],
    [
      'hides a file by a device of an overlay',
      [{ name: 'dev/sda', type: '3' }],
      'archive-entry-unsupported',
      /layer 1: .*dev\/sda/,
    ],
  ])('a layer %s', async (_what, entries, code, rule) => {
    await expectRefused(madeImage(tar(...entries)).write(at('image')), code, rule);
    expect(existsSync(at('evil'))).toBe(false);
  });
});

describe('layers are accepted', () => {
  const made = () => madeImage(plain, tar(file('b', 'more'))).write(at('image'));

  it.each([
    ['gzip', ['--dest-compress']],
    ['zstd', ['--dest-compress', '--dest-compress-format', 'zstd']],
  ])('as skopeo compresses them with %s', async (_how, options) => {
    run('skopeo', 'copy', '--quiet', ...options, `oci:${made()}`, `oci:${at('copied')}:x`);
    const { imageId } = await convert(at('image'));
    rmSync(at('out'), { recursive: true });
    mkdirSync(at('out'));
    expect((await convert(at('copied'))).layers).toHaveLength(2);
    expect(imageId).toMatch(/^sha512-/);
  });

  it('without a compression, in an archive of Docker, an empty one too', async () => {
    const empty = madeImage(plain, Buffer.alloc(1024), tar(file('b', 'more'))).write(at('image'));
    run('skopeo', 'copy', '--quiet', `oci:${empty}`, `docker-archive:${at('image.tar')}:localhost/x:1`);
    expect((await convert(at('image.tar'))).layers).toHaveLength(2);
  });

  it('that are foreign, if they are present', async () => {
    const image = new MadeImage();
    const layer = image.layer(plain, 'application/vnd.oci.image.layer.nondistributable.v1.tar');
    image.root(image.manifest(image.config([digestOf(plain)]), [layer])).write(at('image'));
    expect((await convert(at('image'))).layers).toHaveLength(1);
  });
});

describe('vulnerabilities of docker2aci', () => {
  const archive = (...entries: RawEntry[]): string => {
    writeFileSync(at('saved.tar'), tar(...entries));
    return at('saved.tar');
  };
  const config = JSON.stringify({
    os: 'linux',
    architecture: 'arm64',
    config: { Cmd: ['/x'] },
    rootfs: { diff_ids: [digestOf(plain)] },
  });
  const saved = (layer: string) =>
    file('manifest.json', JSON.stringify([{ Config: 'c.json', RepoTags: ['x:1'], Layers: [layer] }]));

  it('CVE-2016-7569: a layer whose ID is a path upwards is written nowhere', async () => {
    const climbing = '../../evil/layer.tar';
    await convert(archive(file('c.json', config), { name: climbing, body: plain }, saved(climbing)));
    expect(readdirSync(at('out')).every((name) => /^(app|layer-[0-9a-f]{64})\.aci$/.test(name))).toBe(true);
    expect([existsSync(at('evil')), existsSync(at('../evil'))]).toEqual([false, false]);
    rmSync(at('out'), { recursive: true });
    mkdirSync(at('out'));
    // A name does not reach an existing file either.
    writeFileSync(at('there.tar'), plain);
    await expectRefused(
      archive(file('c.json', config), saved('../there.tar')),
      'input-invalid',
      /it has no "\.\.\/there\.tar/,
    );
    const image = new MadeImage();
    const layer = { ...image.layer(plain), digest: 'sha256:../../../there.tar' };
    const climbs = image.root(image.manifest(image.config([digestOf(plain)]), [layer])).write(at('image'));
    await expectRefused(climbs, 'input-invalid', /\/layers\/0\/digest: expected "sha256:" and 64 hex digits/);
  });

  it('CVE-2016-7569: a link in an archive leads to no file outside of it', async () => {
    writeFileSync(at('there.tar'), plain);
    const link: RawEntry = { name: 'l/layer.tar', type: '2', linkname: at('there.tar') };
    await expectRefused(
      archive(file('c.json', config), link, saved('l/layer.tar')),
      'input-invalid',
      /it has no "l\/layer\.tar/,
    );
  });

  it("CVE-2016-8579: layers that are each other's parents are refused", async () => {
    const parents = [
      file('a/json', '{"id":"a","parent":"b"}'),
      file('b/json', '{"id":"b","parent":"a"}'),
      { name: 'a/layer.tar', body: plain },
      { name: 'b/layer.tar', body: plain },
      file('repositories', '{"x":{"1":"a"}}'),
    ];
    await expectRefused(
      archive(...parents),
      'input-invalid',
      /it has neither index\.json nor manifest\.json/,
    );
    const links: RawEntry[] = [
      { name: 'a/layer.tar', type: '2', linkname: '../b/layer.tar' },
      { name: 'b/layer.tar', type: '2', linkname: '../a/layer.tar' },
    ];
    await expectRefused(
      archive(file('c.json', config), ...links, saved('a/layer.tar')),
      'input-invalid',
      /it has no "a\/layer\.tar/,
    );
  });
});

describe('a layout whose blob is not a file', () => {
  it('is refused', async () => {
    madeImage(plain).write(at('image'));
    const path = at('image/blobs', ...digestOf(plain).split(':'));
    rmSync(path);
    symlinkSync('/dev/zero', path);
    await expectRefused(at('image'), 'not-found', /it has no blob/);
  });
});
