import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBoardConfig } from '../../qemu/index.ts';
import { payloadRoot } from '../../qemu/payload.ts';
import { readImageFile } from '../../src/operator/fleet/offered-image.ts';
import { wherry } from '../support/recording-terminal.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/**
 * Three. With all images (`npm run test:images`) there is one more layer than may be a separate
 * image, so the app's image holds files, too, and the mounts reach their limit.
 */
const layers = process.env['WHERRY_IMAGES'] === undefined ? 3 : 16;
/** umoci makes two layers of each payload except the first. The app has a separate image. */
const images = Math.min(2 * layers, 16);

describe.each(oneBoard)('an OCI image whose layers are kept on %s', (boardName) => {
  const { config } = loadBoardConfig(boardName);
  let scene: Scene;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
  });
  afterAll(async () => {
    await scene.stop();
  });

  it(`runs from ${layers} layers, each an object of its own [C39]`, async () => {
    const at = (file: string) => join(scene.directory, file);
    const image = `${at('layout')}:1.0`;
    const umoci = (...args: string[]) => execFileSync('umoci', args, { stdio: 'pipe' });
    umoci('init', '--layout', at('layout'));
    umoci('new', '--image', image);
    umoci('insert', '--image', image, await payloadRoot('busybox', config), '/');
    for (let layer = 2; layer <= layers; layer++) {
      writeFileSync(at('page'), `of layer ${layer}\n`);
      // Each payload has its own page, and a page that the next one replaces.
      umoci('insert', '--image', image, at('page'), `/srv/${layer}`);
      umoci('insert', '--image', image, at('page'), '/srv/newest');
    }
    const exec = ['/usr/bin/busybox', 'httpd', '-f', '-p', '8080', '-h', '/srv'];
    const settings = ['--architecture', config.arch === 'armhf' ? 'arm' : config.arch, '--os', 'linux'];
    umoci('config', '--image', image, ...settings, ...exec.map((word) => `--config.entrypoint=${word}`));

    const named = ['--name', 'example.com/app', '--layers', 'example.com/layers', '-o', at('app.aci')];
    const converted = await wherry(['image', 'from-oci', at('layout'), ...named, '--json']);
    expect(converted).toMatchObject({ status: 0 });
    const { layers: kept } = JSON.parse(converted.out) as { layers: { file: string }[] };
    const offered: BuiltImage[] = [];
    for (const file of [at('app.aci'), ...kept.map((layer) => layer.file)]) {
      const { id, manifest, sizeBytes, tarSizeBytes } = await readImageFile(file);
      const described = { id, name: manifest.name, labels: manifest.labels, sizeBytes, tarSizeBytes };
      offered.push(await scene.offer(file, described));
    }
    const [app] = offered;
    if (app === undefined) throw new Error('no image');
    expect(offered).toHaveLength(images);
    const listed = offered.map(({ path: _path, ...one }) => one);
    const event = await scene.deploy(
      { ...scene.desired([{ name: 'web', image: app }]), images: listed },
      1_500_000,
    );
    expect(event).toMatchObject({ outcome: 'committed' });
    const get = 'curl -sf http://127.0.0.1:8080';
    const pages = `${get}/newest && ${get}/2 && ${get}/${layers}`;
    const { stdout } = await scene.board.waitFor(pages, ({ status }) => status === 0);
    expect(stdout).toBe(`of layer ${layers}\nof layer 2\nof layer ${layers}\n`);
    expect((await scene.board.check('ls /run/wherry/images')).trim().split('\n')).toHaveLength(images);
  }, 1_800_000);
});
