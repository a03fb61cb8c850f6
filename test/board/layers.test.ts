import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAci } from '../../src/aci/builder.ts';
import { defaultArchiveLimits, inspectArchive } from '../../src/aci/index.ts';
import { renderImage } from '../../src/aci/render.ts';
import { parseImageManifest } from '../../src/appc/index.ts';
import { type BuiltImage, oneBoard, Scene } from './scene.ts';

/** What the runtime puts into every app's tree, and directories of which it makes what is missing. */
const ofRuntime = /^(dev|proc|sys|etc\/hosts|etc\/resolv\.conf)[/\t]/;

describe.each(oneBoard)('an image with dependencies on %s', (boardName) => {
  let scene: Scene;
  let base: BuiltImage;
  let middle: BuiltImage;
  let app: BuiltImage;

  /** An image of a few files, with its dependencies by ID. */
  async function image(
    name: string,
    files: Readonly<Record<string, string>>,
    dependencies: readonly BuiltImage[],
    more: object = {},
  ): Promise<BuiltImage> {
    const root = join(scene.directory, `${name}-root`);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), content);
    }
    const manifest = parseImageManifest(
      Buffer.from(
        JSON.stringify({
          acKind: 'ImageManifest',
          acVersion: '0.8.11',
          name: `example.com/${name}`,
          dependencies: dependencies.map(({ id, name: imageName }) => ({ imageName, imageID: id })),
          ...more,
        }),
      ),
    );
    const path = join(scene.directory, `${name}.aci`);
    const owner = { uid: 7, gid: 8 };
    const built = await buildAci({ root, manifest, output: path, compression: 'gzip', owner });
    const { sizeBytes, tarSizeBytes } = built;
    return await scene.offer(path, {
      id: built.imageId,
      name: manifest.name,
      labels: [],
      sizeBytes,
      tarSizeBytes,
    });
  }

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    base = await scene.image('busybox', ['/bin/sh'], {
      name: 'example.com/base',
      files: [
        { path: '/srv/page', content: 'of the base\n' },
        { path: '/srv/replaced/by-a-file', content: '' },
        { path: '/srv/only-base', content: 'base\n' },
      ],
    });
    middle = await image('middle', { 'srv/page': 'of the middle\n', 'srv/replaced': 'a file\n' }, [base]);
    app = await image('app', { 'srv/page': 'of the app\n', 'srv/replaced/again': '' }, [base, middle], {
      app: { exec: ['/bin/sleep', '100000'], user: '0', group: '0' },
    });
  });
  afterAll(async () => {
    await scene.stop();
  });

  const desiredOf = (...images: readonly BuiltImage[]) => {
    const desired = scene.desired([{ name: 'web', image: app }]);
    return { ...desired, images: images.map(({ path: _path, ...one }) => one) };
  };

  it('is refused without them, and nothing is mounted [C39]', async () => {
    const event = await scene.deploy(desiredOf(app, base));
    expect(event).toMatchObject({ outcome: 'refused', code: 'image-dependency-missing' });
    expect(await scene.board.check('ls /run/wherry/images | wc -l')).toBe('0\n');
  });

  it('[A4.16] runs in the tree that rendering makes, entry by entry (ace.md#filesystem-setup) [C39]', async () => {
    expect(await scene.deploy(desiredOf(app, base, middle))).toMatchObject({ outcome: 'committed' });
    const pid = (await scene.report((report) => report.pods[0]?.healthy === true)).pods[0]?.apps[0]?.pid ?? 0;
    const listing = await scene.board.check(
      `cd /proc/${pid}/root && find . -mindepth 1 -xdev -printf '%P\\t%y %m %U:%G %T@ %s %l\\n' && cat srv/page`,
    );
    const lines = listing.trimEnd().split('\n');
    expect(lines.pop()).toBe('of the app');

    const files = await Promise.all(
      [app, base, middle].map(async ({ path, id, sizeBytes }) => {
        const { manifest } = await inspectArchive(createReadStream(path), defaultArchiveLimits);
        return { path, id, sizeBytes, manifest };
      }),
    );
    const [top] = files;
    if (top === undefined) throw new Error('no image');
    const output = join(scene.directory, 'rendered.aci');
    await renderImage({ image: top, among: files, output, compression: 'none' });
    const rendered = await inspectArchive(createReadStream(output), defaultArchiveLimits);
    const letters = { file: 'f', directory: 'd', symlink: 'l', fifo: 'p', link: 'f' } as const;
    const byPath = new Map(rendered.list.map((entry) => [entry.path, entry]));
    const expected = rendered.list
      .filter(({ path }) => path.startsWith('rootfs/'))
      .map((entry) => {
        const { type, mode, uid, gid, mtime, sizeBytes } =
          byPath.get(entry.type === 'link' ? entry.target : '') ?? entry;
        const path = entry.path.slice('rootfs/'.length);
        // A directory's size is the file system's own business, a link's is that of its target.
        const size = type === 'file' ? sizeBytes : type === 'symlink' ? entry.target.length : '-';
        const target = type === 'symlink' ? entry.target : '';
        return `${path}\t${letters[type]} ${mode.toString(8)} ${uid}:${gid} ${mtime} ${size} ${target}`;
      });
    const found = lines.map((line) =>
      line.replace(/^([^\t]*\td \S+ \S+) (\S+) \d+/, '$1 $2 -').replace(/ (\d+)\.0+ /, ' $1 '),
    );
    const others = (list: readonly string[]) =>
      list.filter((line) => !ofRuntime.test(line) && !line.startsWith('etc\t')).sort();
    expect(others(found)).toEqual(others(expected));
    expect(others(found)).toContainEqual(expect.stringMatching(/^srv\/replaced\td 7/));
  });

  it('keeps the objects of its layers at a collection, and loses their mounts with its deployment', async () => {
    await scene.board.check('wherry gc', { timeoutMs: 120_000 });
    expect((await scene.board.check('ls /var/lib/wherry/images')).trim().split('\n')).toHaveLength(3);
    expect(await scene.deploy(scene.desired([]))).toMatchObject({ outcome: 'committed' });
    expect(
      await scene.board.check("systemctl list-units --plain --no-legend 'run-wherry-images*.mount' | wc -l"),
    ).toBe('0\n');
  });

  it('is refused with a path whitelist, which names what to do [C39]', async () => {
    const listed = await image('listed', { a: '1' }, [], {
      pathWhitelist: ['/a'],
      app: { exec: ['/a'], user: '0', group: '0' },
    });
    const event = await scene.deploy(scene.desired([{ name: 'web', image: listed }]));
    expect(event).toMatchObject({
      code: 'image-whitelist-unsupported',
      message: expect.stringMatching(/wherry image render/) as string,
    });
  });
});
