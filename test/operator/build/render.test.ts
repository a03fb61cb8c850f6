import { execFileSync } from 'node:child_process';
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
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAci } from '../../../src/operator/build/builder.ts';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { inspectArchive } from '../../../src/image/aci/inspect.ts';
import { type ImageFile, renderImage } from '../../../src/operator/build/render.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { wherry } from '../../support/recording-terminal.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-render-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (...names: string[]) => join(directory, ...names);

/** An archive of files, with the dependencies and the whitelist of its manifest. */
async function image(name: string, files: Record<string, string>, manifest: object = {}): Promise<ImageFile> {
  const root = at(`${name}-root`);
  mkdirSync(root);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  const path = at(`${name}.aci`);
  const bytes = Buffer.from(
    JSON.stringify({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: `example.com/${name}`,
      ...manifest,
    }),
  );
  const built = await buildAci({ root, manifest: bytes, output: path, compression: 'gzip', latest: 0 });
  return { id: built.imageId, manifest: parseImageManifest(bytes), sizeBytes: built.sizeBytes, path };
}

const on = (...names: string[]) => ({
  dependencies: names.map((name) => ({ imageName: `example.com/${name}` })),
});

async function filesOf(path: string): Promise<Record<string, string>> {
  execFileSync('tar', ['-xf', path, '-C', directory, '--one-top-level=out']);
  const { list } = await inspectArchive(createReadStream(path), defaultArchiveLimits);
  const files = list.filter(({ type, path: name }) => type === 'file' && name !== 'manifest');
  const entries = files.map(({ path: name }) => [
    name.slice('rootfs/'.length),
    readFileSync(at('out', name), 'utf8'),
  ]);
  rmSync(at('out'), { recursive: true });
  return Object.fromEntries(entries) as Record<string, string>;
}

describe('rendering an image with its dependencies (ace.md#filesystem-setup)', () => {
  const render = async (top: ImageFile, among: readonly ImageFile[]) => {
    await renderImage({ image: top, among, output: at('rendered.aci'), compression: 'gzip' });
    return await filesOf(at('rendered.aci'));
  };

  it('[A4.13] creates one image without dependencies and with the same content', async () => {
    const base = await image('base', { 'bin/sh': 'shell', 'etc/name': 'base' });
    const app = await image('app', { 'etc/name': 'app', 'bin/app': 'program' }, on('base'));
    expect(await render(app, [base])).toEqual({ 'bin/sh': 'shell', 'bin/app': 'program', 'etc/name': 'app' });
    const { manifest } = await inspectArchive(createReadStream(at('rendered.aci')), defaultArchiveLimits);
    expect(manifest).toEqual({ ...app.manifest, dependencies: [] });
  });

  it('[A4.4] stacks a diamond in the order D, B, D, C, A', async () => {
    const d = await image('d', { one: 'd', two: 'd' });
    const b = await image('b', { one: 'b', three: 'b' }, on('d'));
    const c = await image('c', { two: 'c', three: 'c' }, on('d'));
    const a = await image('a', {}, on('b', 'c'));
    // D is applied again after B, so it covers B.
    expect(await render(a, [b, c, d])).toEqual({ one: 'd', two: 'c', three: 'c' });
  });

  it('[A4.8] filters an image by its own whitelist and by those of its dependents (aci.md, pathWhitelist)', async () => {
    const base = await image('base', { a: '1', b: '2', c: '3' }, { pathWhitelist: ['/a', '/b'] });
    const middle = await image('middle', { d: '4' }, { ...on('base'), pathWhitelist: ['/b', '/c', '/d'] });
    const app = await image('app', { e: '5' }, on('middle'));
    expect(await render(app, [base, middle])).toEqual({ b: '2', d: '4', e: '5' });
  });

  it("[A4.9] does not apply an image's whitelist to its siblings (the reference does)", async () => {
    const c = await image('c', { keep: '1', drop: '2' }, { pathWhitelist: ['/keep'] });
    const b = await image('b', { other: '3' });
    const app = await image('app', {}, on('c', 'b'));
    expect(await render(app, [b, c])).toEqual({ keep: '1', other: '3' });
  });

  it('returns the same bytes again, and the tree that a device mounts from layers', async () => {
    const base = await image('base', { a: '1' });
    const app = await image('app', { b: '2' }, on('base'));
    await render(app, [base]);
    const first = readFileSync(at('rendered.aci'));
    await render(app, [base]);
    expect(readFileSync(at('rendered.aci')).equals(first)).toBe(true);
  });

  it('[A4.15] leaves nothing behind when a dependency is missing or damaged', async () => {
    const base = await image('base', { a: '1' });
    const app = await image('app', {}, on('base'));
    const before = readdirSync(directory).sort();
    const output = at('rendered.aci');
    await expect(renderImage({ image: app, among: [], output, compression: 'gzip' })).rejects.toMatchObject({
      code: 'image-dependency-missing',
    });
    writeFileSync(base.path, readFileSync(base.path).subarray(0, 100));
    await expect(
      renderImage({ image: app, among: [base], output, compression: 'gzip' }),
    ).rejects.toMatchObject({
      code: 'archive-malformed',
    });
    expect(readdirSync(directory).sort()).toEqual(before);
  });

  it('is available as wherry image render', async () => {
    await image('base', { a: '1' });
    await image('app', { b: '2' }, on('base'));
    const args = ['image', 'render', at('app.aci'), '-o', at('rendered.aci')];
    expect(await wherry(args)).toMatchObject({
      status: 65,
      err: expect.stringMatching(/example.com\/base/) as string,
    });
    expect(await wherry([...args, '--with', at('base.aci')])).toMatchObject({ status: 0 });
    expect(await filesOf(at('rendered.aci'))).toEqual({ a: '1', b: '2' });
  });
});
