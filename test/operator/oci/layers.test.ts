import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { inspectArchive } from '../../../src/image/aci/inspect.ts';
import { renderImage } from '../../../src/operator/build/render.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { readImageFile } from '../../../src/operator/fleet/offered-image.ts';
import { fromOci, type ConvertedImage, type FromOciOptions } from '../../../src/operator/oci/from-oci.ts';
import { file, pax, type RawEntry, tar } from '../../support/raw-tar.ts';
import { registryAccess } from './registry-access.ts';
import { run, sharedLayout, umociLayout } from '../../support/oci-tools.ts';

let directory: string;
let layout: string;
let count = 0;
const at = (...names: string[]): string => join(directory, ...names);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-layers-'));
  layout = sharedLayout(directory);
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Converted extends ConvertedImage {
  readonly directory: string;
  readonly output: string;
}

/** Converts into a new directory, unless one is given. */
async function convert(source: string, options: Partial<FromOciOptions> = {}): Promise<Converted> {
  const own = at(`out-${++count}`);
  const output = options.output ?? join(own, 'app.aci');
  mkdirSync(join(output, '..'), { recursive: true });
  const built = await fromOci({
    source,
    output,
    compression: 'gzip',
    name: 'example.com/app',
    labels: [{ name: 'version', value: '1' }],
    registry: registryAccess,
    onLayer: () => undefined,
    ...options,
  });
  return { ...built, directory: join(output, '..'), output };
}

const os = { name: 'os', value: 'linux' };

const layered = (source: string, options: Partial<FromOciOptions> = {}) =>
  convert(source, { layers: 'example.com/layers', ...options });

/** The result of `wherry image render` for an image and those beside it. */
async function rendered({
  output,
  layers,
}: Converted): Promise<{ readonly file: string; readonly imageId: string }> {
  const among = [];
  for (const { path } of layers) among.push(await readImageFile(path));
  const file = `${output}.rendered`;
  const built = await renderImage({
    image: await readImageFile(output),
    among,
    output: file,
    compression: 'gzip',
  });
  return { file, imageId: built.imageId };
}

const entries = async (file: string) =>
  (await inspectArchive(createReadStream(file), defaultArchiveLimits)).list;
const namesOf = (list: readonly { readonly path: string }[]) => list.map(({ path }) => path);

/** Checks the layers of the image `tag` with every check that applies to any image. */
async function expectSameTree(source: string): Promise<Converted> {
  const flat = await convert(source);
  const kept = await layered(source);
  const whole = await rendered(kept);
  expect(await entries(whole.file)).toEqual(await entries(flat.output));
  expect(whole.imageId).toBe(flat.imageId);
  return kept;
}

describe('layers of an OCI image kept as dependencies', () => {
  it('render to the same bytes as flattening, for all kinds of entries', async () => {
    const { layers, warnings, manifest } = await expectSameTree(`${layout}:one`);
    // The fourth layer changes nothing.
    expect(layers).toHaveLength(4);
    expect(layers.map((layer) => layer.manifest.pathWhitelist.length > 0)).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(warnings).toEqual([
      expect.stringMatching(/^layer 3 removes 3 paths such as "\/srv\/.*": its image has a path whitelist/),
    ]);
    expect(manifest).toMatchObject({
      name: 'example.com/app',
      dependencies: [{ imageName: layers[3]?.manifest.name, imageId: layers[3]?.imageId, labels: [os] }],
      pathWhitelist: [],
      app: { exec: ['/bin/app'], user: 'web', group: '44', supplementaryGids: [27] },
    });
  });

  it('render to the tree that umoci unpacks', async () => {
    const { file } = await rendered(await layered(`${layout}:one`));
    mkdirSync(at('aci'));
    run('tar', '-xf', file, '-C', at('aci'), 'rootfs');
    run('rmdir', at('aci/rootfs/srv/one-work')); // a directory that appc requires and OCI implies
    const isRoot = process.getuid?.() === 0;
    const unpack = ['unpack', '--keep-dirlinks', ...(isRoot ? [] : ['--rootless'])];
    run('umoci', ...unpack, '--image', `${layout}:one`, at('unpacked'));
    const tree = (root: string) =>
      run(
        'sh',
        '-c',
        `cd "$1" && find . -mindepth 1 -printf '%p %y %m %l\\n' | sort; find . -type f -exec sha256sum {} + | sort`,
        'sh',
        root,
      );
    expect(tree(at('aci/rootfs'))).toBe(tree(at('unpacked/rootfs')));
  });

  it('of two images over one base are bit-identical for the base', async () => {
    const one = await layered(`${layout}:one`);
    const two = await layered(`${layout}:two`, { name: 'example.org/other' });
    const base = await layered(`${layout}:base`, { platform: undefined as never, name: 'example.net/base' });
    const bytes = ({ layers }: Converted) => layers.map(({ path }) => readFileSync(path).toString('base64'));
    expect(bytes(base)).toHaveLength(2);
    expect(bytes(one).slice(0, 2)).toEqual(bytes(base));
    expect(bytes(two).slice(0, 2)).toEqual(bytes(base));
    expect(bytes(two)[2]).not.toBe(bytes(one)[2]);
  });

  it('are named by the chain ID of OCI, and have only their dependencies in the manifest', async () => {
    const { layers } = await layered(`${layout}:two`);
    const config = JSON.parse(run('skopeo', 'inspect', '--raw', '--config', `oci:${layout}:two`)) as {
      rootfs: { diff_ids: string[] };
    };
    const [first = '', second = ''] = config.rootfs.diff_ids;
    const chain = run('sh', '-c', 'printf "%s %s" "$1" "$2" | sha256sum', 'sh', first, second).slice(0, 64);
    expect(layers.slice(0, 2).map(({ manifest, file }) => [manifest.name, file])).toEqual([
      [`example.com/layers/layer-${first.slice(7)}`, `layer-${first.slice(7)}.aci`],
      [`example.com/layers/layer-${chain}`, `layer-${chain}.aci`],
    ]);
    expect(layers[0]?.manifest).toEqual(
      parseImageManifest(
        Buffer.from(
          JSON.stringify({
            acKind: 'ImageManifest',
            acVersion: '0.8.11',
            name: layers[0]?.manifest.name,
            labels: [os],
          }),
        ),
      ),
    );
    expect(layers[1]?.manifest.dependencies).toEqual([
      { imageName: layers[0]?.manifest.name, imageId: layers[0]?.imageId, labels: [os] },
    ]);
  });

  it('have entries for the directories of their files, with their attributes', async () => {
    const { layers } = await layered(`${layout}:one`);
    const second = await entries(layers[1]?.path ?? '');
    expect(namesOf(second)).toEqual([
      'manifest',
      'rootfs',
      'rootfs/usr',
      'rootfs/usr/lib',
      'rootfs/usr/lib/noted',
    ]);
    expect(second[1]).toMatchObject({ mode: 0o750 });
    expect(second[3]).toMatchObject({ mode: 0o2775, uid: 7 });
    expect(second[4]).toMatchObject({ xattrs: [{ name: 'user.note', value: Buffer.from('kept') }] });
    for (const { path } of layers)
      expect((await entries(path)).flatMap(({ implied }) => implied)).toEqual([]);
  });

  it('have all names of a file that gets a new one: links cannot cross archives', async () => {
    const { layers } = await layered(`${layout}:one`);
    const third = await entries(layers[2]?.path ?? '');
    expect(
      third
        .filter(({ path }) => path.startsWith('rootfs/bin/'))
        .map(({ path, type, target }) => [path, type, target]),
    ).toEqual([
      ['rootfs/bin/app', 'file', ''],
      ['rootfs/bin/same', 'link', 'rootfs/bin/app'],
      ['rootfs/bin/third', 'link', 'rootfs/bin/app'],
    ]);
    expect(namesOf(third)).toContain('rootfs/usr/lib/through');
  });

  it('are the same from an archive as docker save writes it', async () => {
    run(
      'skopeo',
      'copy',
      '--quiet',
      `oci:${layout}:one`,
      `docker-archive:${at('one.tar')}:example.com/one:1`,
    );
    const ids = ({ layers, imageId }: Converted) => [...layers.map((layer) => layer.imageId), imageId];
    expect(ids(await layered(at('one.tar')))).toEqual(ids(await layered(`${layout}:one`)));
  });

  it('render to the flattened image for what umoci repacks', async () => {
    await expectSameTree(`${umociLayout(directory)}:app`);
  });

  // Without root it needs user namespaces, which not every machine allows.
  it.runIf(process.getuid?.() === 0)('render to the flattened image for what buildah commits', async () => {
    const buildah = (...args: string[]) =>
      run(
        'buildah',
        '--storage-driver',
        'vfs',
        '--root',
        at('storage'),
        '--runroot',
        at('run'),
        ...args,
      ).trim();
    const commit = (from: string, to: string, change: (root: string) => void) => {
      const container = buildah('from', '--arch', 'arm64', from);
      change(buildah('mount', container));
      buildah('config', '--cmd', '/bin/app', '--arch', 'arm64', container);
      buildah('commit', '--quiet', container, to);
      return `oci:${at('built')}:${to}`;
    };
    const base = `docker-archive:${at('base.tar')}`;
    run('skopeo', 'copy', '--quiet', `oci:${layout}:base`, `${base}:localhost/base:1`);
    commit(base, 'first', (root) => {
      run(
        'sh',
        '-c',
        'cd "$1" && rm -r srv/old && mkdir srv/old && echo new >srv/old/new && chmod 700 etc',
        'sh',
        root,
      );
      run('cp', '/bin/true', join(root, 'bin/capable'));
      run('setcap', 'cap_net_raw+ep', join(root, 'bin/capable'));
    });
    commit('first', `oci:${at('built')}:second`, (root) => {
      run(
        'sh',
        '-c',
        'cd "$1" && ln bin/app bin/fourth && rm lib && mkdir lib && echo x >lib/x && mkfifo run/other',
        'sh',
        root,
      );
    });
    const { layers } = await expectSameTree(at('built'));
    const all = (await Promise.all(layers.map(({ path }) => entries(path)))).flat();
    expect(all.find(({ path }) => path === 'rootfs/bin/capable')?.xattrs.map(({ name }) => name)).toEqual([
      'security.capability',
    ]);
    const ids = ({ layers: list }: Converted) => list.map(({ imageId }) => imageId);
    expect(
      ids(await layered(`${layout}:base`)).every((id) => layers.some(({ imageId }) => imageId === id)),
    ).toBe(true);
  });
});

describe('files of layers beside the image', () => {
  it('are not changed if they exist already, and keep their signatures', async () => {
    const one = await layered(`${layout}:one`);
    const [base] = one.layers;
    const before = readFileSync(base?.path ?? '');
    // The same image in another compression: a signature over these bytes would still fit them.
    run('sh', '-c', 'zcat "$1" >"$1.tar" && mv "$1.tar" "$1"', 'sh', base?.path ?? '');
    const two = await layered(`${layout}:two`, { output: join(one.directory, 'two.aci') });
    expect(two.layers.map(({ wasThere }) => wasThere)).toEqual([true, true, false]);
    expect(readFileSync(base?.path ?? '').equals(before)).toBe(false);
    expect((await rendered(two)).imageId).toBe((await convert(`${layout}:two`)).imageId);
  });

  it('are not written over another image, and then nothing is written', async () => {
    const one = await layered(`${layout}:one`);
    const path = one.layers[2]?.path ?? '';
    rmSync(one.output);
    for (const { path: each } of one.layers) if (each !== path) rmSync(each);
    writeFileSync(path, readFileSync((await convert(`${layout}:two`)).output));
    await expect(layered(`${layout}:one`, { output: one.output })).rejects.toMatchObject({
      code: 'input-invalid',
      message: expect.stringMatching(/is there already and is another image/) as string,
    });
    expect(readdirSync(one.directory)).toEqual([one.layers[2]?.file]);
  });

  it.each(['', 'Example.com', 'example.com/', '../x', 'a//b'])(
    'need a prefix that begins a name: %j',
    async (layers) => {
      await expect(convert(`${layout}:one`, { layers })).rejects.toMatchObject({ code: 'usage' });
    },
  );
});

describe('a layer that a chain of images cannot hold', () => {
  /** A layout of an image with these layers. */
  const imageOf = (name: string, layers: readonly (readonly RawEntry[])[]): string => {
    const made = at(name);
    run('umoci', 'init', '--layout', made);
    run('umoci', 'new', '--image', `${made}:x`);
    for (const layer of layers) {
      writeFileSync(at('layer.tar'), tar(...layer));
      run('umoci', 'raw', 'add-layer', '--image', `${made}:x`, at('layer.tar'));
    }
    return made;
  };

  it('becomes part of the image of the app if there are too many layers', async () => {
    const source = imageOf(
      'many',
      Array.from({ length: 18 }, (_, index) => [
        { name: `file-${index}`, body: String(index) },
        { name: '.wh.file-1' },
      ]),
    );
    const { layers, warnings, output } = await expectSameTree(source);
    expect(layers).toHaveLength(15);
    expect(warnings).toContain(
      'at most 15 images can lie below an app: its layers from 16 on are in its own image',
    );
    expect(namesOf(await entries(output))).toEqual([
      'manifest',
      'rootfs',
      'rootfs/file-15',
      'rootfs/file-16',
      'rootfs/file-17',
    ]);
  });

  it('[A4.18] has all files itself if its whitelist is too long for a manifest', async () => {
    const long = Array<string>(15).fill('n'.repeat(250)).join('/');
    const many = Array.from({ length: 300 }, (_, index) => [
      pax({ path: `${long}/${index}` }),
      file('see-pax'),
    ]);
    const source = imageOf('long', [
      [...many.flat(), file('removed')],
      [{ name: '.wh.removed' }],
      [{ name: 'last', body: 'x' }],
    ]);
    const { layers, warnings } = await expectSameTree(source);
    expect(layers).toHaveLength(2);
    expect(layers[0]?.manifest).toMatchObject({ dependencies: [], pathWhitelist: [] });
    expect(warnings.join('\n')).toMatch(
      /layer 2 removes "\/removed", and what stays is no list for a manifest/,
    );
  });

  it('is named by its path beside the image if devices would refuse it', async () => {
    const source = imageOf('refused', [
      [pax({ path: 'a', linkpath: 'x'.repeat(4096) }), { name: 'see-pax', type: '2' }],
    ]);
    const refusal: unknown = await layered(source).catch((error: unknown) => error);
    const path = String(refusal).split(' is not written')[0] ?? '';
    expect(path.replace(/[0-9a-f]{64}/, 'ID')).toBe(join(at(`out-${count}`), 'layer-ID.aci'));
  });

  it('has no files if it removes all: an empty whitelist would keep everything', async () => {
    const source = imageOf('emptied', [
      [{ name: 'a', body: 'x' }],
      [{ name: '.wh.a' }],
      [{ name: 'b', body: 'x' }],
    ]);
    const { layers } = await expectSameTree(source);
    expect(layers.map(({ manifest }) => manifest.dependencies.length)).toEqual([0, 1]);
  });
});
