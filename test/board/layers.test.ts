import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAci } from '../../src/operator/build/builder.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { treeOfApp, treeOfRender } from './app-tree.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

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

  it('[A4.16] runs in the rendered tree, entry by entry (ace.md#filesystem-setup) [C39]', async () => {
    expect(await scene.deploy(desiredOf(app, base, middle))).toMatchObject({ outcome: 'committed' });
    const found = await treeOfApp(scene);
    const images = [app, base, middle];
    expect(found).toEqual(await treeOfRender(images, join(scene.directory, 'rendered.aci')));
    expect(found).toContainEqual(expect.stringMatching(/^srv\/replaced\tdirectory \S+ 7:8 /));
  });

  it('keeps the objects of its layers at a collection, and loses their mounts with its deployment', async () => {
    // wherryd collects after `wherry gc` has ended, and pods after images.
    const unneeded = '/var/lib/wherry/pods/0123abcd-0000-8000-8000-000000000000';
    await scene.board.check(`mkdir ${unneeded}; wherry gc`);
    await scene.board.waitFor(`test ! -e ${unneeded}`);
    expect((await scene.board.check('ls /var/lib/wherry/images')).trim().split('\n')).toHaveLength(3);
    expect(await scene.deploy(scene.desired([]))).toMatchObject({ outcome: 'committed' });
    await scene.board.waitFor(
      "systemctl list-units --plain --no-legend 'run-wherry-images*.mount'",
      ({ stdout }) => stdout === '',
    );
  });
});
