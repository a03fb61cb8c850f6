import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/index.ts';
import { inspectArchive } from '../../../src/image/aci/index.ts';
import { challengesOf } from '../../../src/operator/oci/challenges.ts';
import {
  type ConvertedImage,
  fromOci,
  type FromOciOptions,
  parsePlatform,
} from '../../../src/operator/oci/index.ts';
import { appcArchitecture } from '../../../src/operator/oci/platform.ts';
import { file, pax, type RawEntry, tar } from '../../support/raw-tar.ts';
import { digestOf, type Json, MadeImage, madeImage } from './made-image.ts';
import { registryAccess } from './registry-access.ts';

let directory: string;
const at = (...names: string[]): string => join(directory, ...names);

beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'wherry-foreign-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const convert = (source: string, options: Partial<FromOciOptions> = {}): Promise<ConvertedImage> =>
  fromOci({
    ...{ source, output: at('app.aci'), compression: 'gzip', name: 'example.com/app', labels: [] },
    ...{ registry: registryAccess, onLayer: () => undefined },
    ...options,
  });

const paths = async (): Promise<string[]> =>
  (await inspectArchive(createReadStream(at('app.aci')), defaultArchiveLimits)).list
    .map(({ path, type, sizeBytes }) => `${path} ${type} ${sizeBytes}`)
    .filter((line) => !line.startsWith('manifest'));

/** An image of one layer whose blob is `packed` and whose tar is `plain`. */
function packedImage(plain: Uint8Array, packed: Uint8Array, mediaType?: string): MadeImage {
  const made = new MadeImage();
  const layer = mediaType === undefined ? made.layer(packed) : made.layer(packed, mediaType);
  return made.root(made.manifest(made.config([digestOf(plain)]), [layer]));
}

const program = (command: string, args: readonly string[], input: Uint8Array): Buffer =>
  execFileSync(command, args, { input, stdio: ['pipe', 'pipe', 'ignore'] });

describe('a layer is recognised by its bytes', () => {
  const plain = tar(file('a', 'content'));
  it.each<[string, Buffer, string | undefined]>([
    [
      'zstd behind a skippable frame',
      Buffer.concat([Buffer.from('502a4d1804000000deadbeef', 'hex'), program('zstd', ['-qc'], plain)]),
      undefined,
    ],
    ['xz with a dictionary of 64 MiB (xz -9)', program('xz', ['-9c'], plain), undefined],
    [
      'gzip in two members',
      Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))]),
      undefined,
    ],
    ['gzip under the media type of a plain one', gzipSync(plain), 'application/vnd.oci.image.layer.v1.tar'],
    [
      'bzip2 under a media type of before OCI',
      program('bzip2', ['-c'], plain),
      'application/vnd.docker.container.image.rootfs.diff+x-gtar',
    ],
  ])('that is %s', async (_what, packed, mediaType) => {
    await convert(packedImage(plain, packed, mediaType).write(at('image')));
    expect(await paths()).toEqual(['rootfs directory 0', 'rootfs/a file 7']);
  });

  it('that is plain, although the name of its first file begins like bzip2', async () => {
    await convert(madeImage(tar(file('BZhello', 'x'))).write(at('image')));
    expect(await paths()).toContain('rootfs/BZhello file 1');
  });

  it('that is a tar of Unix version 7, without a magic number', async () => {
    mkdirSync(at('tree/d'), { recursive: true });
    writeFileSync(at('tree/d/f'), 'x');
    const old = execFileSync('tar', ['-C', at('tree'), '--format=v7', '-c', 'd'], { maxBuffer: 1 << 20 });
    await convert(madeImage(old).write(at('image')));
    expect(await paths()).toEqual(['rootfs directory 0', 'rootfs/d directory 0', 'rootfs/d/f file 1']);
  });

  it.each([0, 512, 1024, 10_240, 1_000_000])('that is empty, of %i zeros', async (sizeBytes) => {
    await convert(madeImage(plain, Buffer.alloc(sizeBytes)).write(at('image')));
    expect(await paths()).toContain('rootfs/a file 7');
  });

  it.each([
    ['0.0', ['--format=pax', '--sparse-version=0.0']],
    ['0.1', ['--format=pax', '--sparse-version=0.1']],
    ['1.0', ['--format=pax', '--sparse-version=1.0']],
    ['the old form of GNU', ['--format=gnu']],
  ])('with a sparse file in form %s (GNU tar) is read with its whole content', async (_form, options) => {
    mkdirSync(at('tree'));
    const path = at('tree', 'holes');
    writeFileSync(path, 'begin');
    for (let part = 1; part < 9; part++) {
      truncateSync(path, part * 200_000);
      writeFileSync(path, `part ${part}`, { flag: 'a' });
    }
    const sparse = execFileSync('tar', ['-C', at('tree'), '--sparse', ...options, '-c', 'holes']);
    expect(sparse.length).toBeLessThan(200_000);
    await convert(madeImage(sparse).write(at('image')));
    mkdirSync(at('out'));
    execFileSync('tar', ['-C', at('out'), '-xf', at('app.aci'), 'rootfs/holes']);
    execFileSync('cmp', [path, at('out/rootfs/holes')]);
  });

  it('with a sparse file whose name GNU tar cuts inside a character, before its device nodes', async () => {
    const name = `a${'é'.repeat(70)}`;
    mkdirSync(at('tree'));
    writeFileSync(at('tree', name), 'begin');
    truncateSync(at('tree', name), 200_000);
    const args = ['-C', at('tree'), '--sparse', '--format=gnu', '--record-size=512', '-c', name];
    const cut = execFileSync('tar', args);
    const device: RawEntry = { name: 'null', type: '3', patch: [[329, '0000001\0']] };
    const { warnings } = await convert(
      madeImage(Buffer.concat([cut.subarray(0, -1024), tar(device)])).write(at('image')),
    );
    expect(warnings.join()).toContain('null');
    expect(await paths()).toEqual(['rootfs directory 0', `rootfs/${name} file 200000`]);
  });

  it('loses its device nodes, which are named, and what they replaced', async () => {
    const device: RawEntry = {
      name: 'dev/null',
      type: '3',
      patch: [
        [329, '0000001\0'],
        [337, '0000003\0'],
      ],
    };
    const { warnings } = await convert(
      madeImage(tar(file('dev/null', 'x'), file('a')), tar(device)).write(at('image')),
    );
    expect(warnings.join()).toMatch(/layer 2: the device node "dev\/null" left out/);
    expect(await paths()).toEqual(['rootfs directory 0', 'rootfs/a file 1', 'rootfs/dev directory 0']);
  });
});

describe('a layer that is neither a tar nor in a known compression is named', () => {
  // containerd, umoci and skopeo know gzip, bzip2, xz and zstd, too; lz4 1.9.4, xz 5.4.1
  const plain = tar(file('a', 'content'));
  it.each<[string, Buffer, string, RegExp]>([
    ['lz4', program('lz4', ['-qc'], plain), 'archive-compression-unsupported', /compressed with lz4; gzip,/],
    [
      'lzma',
      program('xz', ['--format=lzma', '-c'], plain),
      'archive-compression-unsupported',
      /compressed with lzma; gzip,/,
    ],
    ['a page', Buffer.from('<html>not found</html>'), 'archive-malformed', /neither a tar nor compressed/],
  ])('%s', async (_what, packed, code, sentence) => {
    writeFileSync(at('archive'), packed);
    for (const source of [packedImage(plain, packed).write(at('image')), at('archive')]) {
      const refusal = { code, message: expect.stringMatching(sentence) as string };
      await expect(convert(source)).rejects.toMatchObject(refusal);
    }
  });
});

describe('an image that devices would refuse is not written', () => {
  it.each<[string, RawEntry[], RegExp]>([
    [
      'a name of more than 255 bytes',
      [pax({ path: `d/${'n'.repeat(256)}` }), file('x')],
      /more than 255 bytes/,
    ],
    [
      'a path that is too long below rootfs',
      [pax({ path: `${'d/'.repeat(2046)}abcd` }), file('x')],
      /longer than 4096 bytes/,
    ],
    [
      'a path that links make too long',
      [
        pax({ path: 'd/'.repeat(2000) }),
        { name: 'x', type: '5' },
        pax({ linkpath: 'd/'.repeat(2000) }),
        { name: 'deep', type: '2' },
        pax({ path: `deep/${'d/'.repeat(2000)}` }),
        { name: 'x', type: '5' },
      ],
      /longer than 4096 bytes/,
    ],
    ['a link to nothing', [{ name: 'l', type: '2' }], /is empty/],
    ['a path above the image', [file('a/../../x')], /the path "a\/\.\.\/\.\.\/x" leads out of the image/],
    [
      'a hard link to a later file',
      [{ name: 'l', type: '1', linkname: 'x' }, file('x')],
      /the hard link "l" leads to "x", which is not a file that the image has before it/,
    ],
    [
      // The entries in a tar of an overlay's upper directory, beside files anywhere in the image.
      'a whiteout of overlayfs',
      [{ name: 'srv/old', type: '3' }],
      /"srv\/old" is a device 0:0, by which overlayfs hides a file; a layer has an empty file with the prefix/,
    ],
  ])('for %s', async (_what, entries, rule) => {
    await expect(convert(madeImage(tar(...entries)).write(at('image')))).rejects.toThrow(rule);
    await expect(paths()).rejects.toThrow();
  });
});

// umoci 0.4.7 and buildah 1.28.2 unpack such paths
it('a path in a layer may go up within the image', async () => {
  const link: RawEntry = { name: 'd/l', type: '1', linkname: 'd/../b' };
  await convert(madeImage(tar(file('a/../b'), link, file('d/./e/../f'))).write(at('image')));
  expect(await paths()).toEqual([
    'rootfs directory 0',
    'rootfs/b file 1',
    'rootfs/d directory 0',
    'rootfs/d/f file 1',
    'rootfs/d/l link 0',
  ]);
});

describe('an archive or directory without an image is refused as such [C265]', () => {
  it.each<[string, (made: MadeImage) => MadeImage, string]>([
    // "umoci init" 0.4.7 writes null
    [
      'an index with null',
      (made) => Object.assign(made, { index: { schemaVersion: 2, manifests: null } }),
      'is empty',
    ],
    ['an empty index', (made) => made.root(), 'is empty'],
    [
      'only an attestation',
      (made) => made.root({ ...made.blob({}, 'a/b'), platform: { os: 'unknown', architecture: 'unknown' } }),
      'names only attestations and other attachments',
    ],
  ])('%s', async (_what, made, words) => {
    const refused = { code: 'not-found', message: `${at('image')}: there is no image; its index ${words}` };
    await expect(convert(made(new MadeImage()).write(at('image')))).rejects.toMatchObject(refused);
  });

  it('the unpacked files of "docker save"', async () => {
    mkdirSync(at('saved'));
    writeFileSync(at('saved/manifest.json'), '[]');
    await expect(convert(at('saved'))).rejects.toThrow('pack them again: tar -C DIR -cf FILE .');
  });

  it('a tar of files, as "docker export" writes', async () => {
    writeFileSync(at('files.tar'), tar(file('bin/sh')));
    await expect(convert(at('files.tar'))).rejects.toThrow('give the directory to "wherry image build"');
  });
});

describe('one of several images', () => {
  const names = 'io.containerd.image.name';
  const tag = 'org.opencontainers.image.ref.name';
  const image = (made: MadeImage, content: string, more: Json): Json => {
    const layer = tar(file(content));
    return { ...made.manifest(made.config([digestOf(layer)]), [made.layer(layer)]), ...more };
  };
  const two = (one: Json, other: Json): string => {
    const made = new MadeImage();
    return made.root(image(made, 'one', one), image(made, 'two', other)).write(at('image'));
  };

  it('is chosen by a name with the port of a registry', async () => {
    const host = 'localhost:5000';
    const source = two(
      { annotations: { [names]: `${host}/app:1` } },
      { annotations: { [names]: `${host}/b/app:1` } },
    );
    await convert(`${source}:localhost:5000/app:1`);
    expect(await paths()).toContain('rootfs/one file 1');
    await expect(convert(`${source}:app:1`)).rejects.toThrow(/several images.*localhost:5000\/b\/app:1/);
  });

  it('is chosen by digest if both have the same name; without a digest neither is', async () => {
    const source = two({ annotations: { [tag]: '1' } }, { annotations: { [tag]: '1' } });
    const error: unknown = await convert(`${source}:1`).catch((reason: unknown) => reason);
    const [, digest = ''] = [...String(error).matchAll(/@(sha256:[0-9a-f]{12})/g)].map(
      (match) => match[1] ?? '',
    );
    await convert(`${source}@${digest}`);
    expect(await paths()).toContain('rootfs/two file 1');
  });

  it('is not chosen silently if two are for one platform', async () => {
    const platform = { os: 'linux', architecture: 'arm64' };
    const source = two({ platform }, { platform });
    await expect(convert(source, { platform: parsePlatform('linux/arm64') })).rejects.toThrow(
      /several images are for/,
    );
  });

  it('is not a document that a tool has attached to it (ORAS)', async () => {
    const source = two({ annotations: { [tag]: '1' } }, { artifactType: 'application/vnd.example.sbom' });
    const { manifest } = await convert(source);
    expect(manifest.labels).toContainEqual({ name: 'version', value: '1' });
  });

  it('has the version of the selected name, in an archive of Docker 20', async () => {
    const layer = tar(file('a'));
    const config = {
      os: 'linux',
      architecture: 'arm64',
      config: {},
      rootfs: { diff_ids: [digestOf(layer)] },
    };
    const saved = [{ Config: 'c.json', RepoTags: ['app:1.0', 'app:2.0'], Layers: ['l/layer.tar'] }];
    const archive = tar(
      file('manifest.json', JSON.stringify(saved)),
      file('c.json', JSON.stringify(config)),
      { name: 'l/layer.tar', body: layer },
    );
    writeFileSync(at('saved.tar.zst'), program('zstd', ['-qc'], archive));
    const { manifest } = await convert(`${at('saved.tar.zst')}:app:2.0`);
    expect(manifest.labels).toContainEqual({ name: 'version', value: '2.0' });
  });

  const saved = (...names: string[]): Buffer => {
    const layer = tar(file('a'));
    const configOf = (name: string) =>
      JSON.stringify({
        ...{ os: 'linux', architecture: 'arm64', config: { Env: [`NAME=${name}`] } },
        rootfs: { diff_ids: [digestOf(layer)] },
      });
    const listed = names.map((name) => ({
      ...{ Config: `${name}.json`, RepoTags: [name], Layers: ['l/layer.tar'] },
    }));
    return tar(
      // A tool without shared layers stores a layer with each image.
      ...names.flatMap((name) => [
        { name: 'l/layer.tar', body: layer },
        file(`${name}.json`, configOf(name)),
      ]),
      file('manifest.json', JSON.stringify(listed)),
    );
  };

  it('is chosen in an archive that holds a file twice', async () => {
    writeFileSync(at('saved.tar'), saved('a:1', 'b:1'));
    await expect(convert(at('saved.tar'))).rejects.toThrow(/several images.*a:1.*b:1/);
    await convert(`${at('saved.tar')}:b:1`);
    expect(await paths()).toContain('rootfs/a file 1');
  });

  it('is not chosen silently without names, or with one name for two images', async () => {
    // docker save ID ID (moby/moby#46600) writes "RepoTags":null for each.
    const named = saved('a:1', 'b:1').toString('latin1');
    // Of the same length, so that the headers of the tar stay valid.
    const renamed = (from: string, to: string) => (text: string) =>
      text.replace(from, to.padEnd(from.length));
    for (const archive of [
      ['["a:1"]', '["b:1"]'].reduce((text, name) => renamed(name, 'null')(text), named),
      renamed('["b:1"]', '["a:1"]')(named),
    ]) {
      writeFileSync(at('saved.tar'), Buffer.from(archive, 'latin1'));
      const error: unknown = await convert(at('saved.tar')).catch((reason: unknown) => reason);
      const digests = [...String(error).matchAll(/@(sha256:[0-9a-f]{12})/g)].map((match) => match[1] ?? '');
      expect(digests, String(error)).toHaveLength(2);
      const { manifest } = await convert(`${at('saved.tar')}@${digests[1] ?? ''}`);
      expect(manifest.app?.environment).toEqual([{ name: 'NAME', value: 'b:1' }]);
    }
  });

  it('is chosen by NAME@DIGEST, as Docker writes references, if both match', async () => {
    writeFileSync(at('saved.tar'), saved('a:1', 'b:1'));
    const wrong: unknown = await convert(`${at('saved.tar')}:a:1@sha256:${'0'.repeat(64)}`).catch(
      (reason: unknown) => reason,
    );
    expect(String(wrong)).toMatch(/there is no image a:1@sha256:0/);
  });

  it('may be named as skopeo and podman name files (containers-transports(5))', async () => {
    writeFileSync(at('saved.tar'), saved('a:1', 'b:1'));
    await convert(`docker-archive:${at('saved.tar')}:b:1`);
    await expect(convert('docker-daemon:a:1')).rejects.toThrow(/docker save NAME -o FILE/);
    await expect(convert(`dir:${at('nothing')}`)).rejects.toThrow(/write an OCI layout/);
  });

  it.each([700, 1536, 3000])('is not in an archive that was cut off after %i bytes', async (bytes) => {
    writeFileSync(at('saved.tar'), saved('a:1').subarray(0, bytes));
    await expect(convert(at('saved.tar'))).rejects.toMatchObject({
      code: 'archive-malformed',
      message: expect.stringContaining('saved.tar: the tar is damaged or cut off') as string,
    });
  });
});

it.each([
  ['linux/armhf', 'armv7l'],
  ['linux/armel', 'armv6l'],
  ['linux/arm/7', 'armv7l'],
  ['linux/arm/v5', 'armv6l'],
  ['linux/aarch64', 'aarch64'],
  ['linux/ARM64/v8', 'aarch64'],
  ['linux/x86_64', 'amd64'],
  ['linux/ppc64el', 'ppc64le'],
  ['armhf', 'armv7l'],
  ['arm32v6', 'armv6l'],
  ['arm64v8', 'aarch64'],
])('the architecture %s of containerd, Debian, Docker’s images or the kernel is %s', (name, expected) => {
  expect(appcArchitecture('x', parsePlatform(name))).toBe(expected);
});

it.each([
  ['Basic realm="a", Bearer realm="https://t/?a=1,2",service="s"', 'basic bearer', 'https://t/?a=1,2'],
  ['bearer Realm=https://t , scope="x"', 'bearer', 'https://t'],
  ['Negotiate, Bearer realm="a \\"b\\""', 'negotiate bearer', 'a "b"'],
])('the challenges of a registry are parsed: %s', (field, schemes, realm) => {
  const challenges = challengesOf(field);
  expect(challenges.map(({ scheme }) => scheme).join(' ')).toBe(schemes);
  expect(challenges.find(({ scheme }) => scheme === 'bearer')?.parameters.get('realm')).toBe(realm);
});
