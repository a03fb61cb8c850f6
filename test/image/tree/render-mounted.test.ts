import { createReadStream, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { readArchive } from '../../../src/image/aci/read-archive.ts';
import { renderImage } from '../../../src/operator/build/render.ts';
import { type MountedImage, renderMounted } from '../../../src/image/tree/render-mounted.ts';
import { renderSteps, resolveDependencies } from '../../../src/image/appc/dependencies.ts';
import { collect, mountedImage, type TestImage } from '../../support/mounted-images.ts';
import { directory, file, pax, type RawEntry, rootfs } from '../../support/raw-tar.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'wherry-mounted-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Builds an image that depends on the images in `on`. */
async function image(
  name: string,
  entries: readonly RawEntry[],
  on: readonly TestImage[] = [],
  pathWhitelist: readonly string[] = [],
): Promise<TestImage> {
  const dependencies = on.map(({ id, manifest }) => ({ imageName: manifest.name, imageID: id }));
  return await mountedImage(home, { name: `example.com/${name}`, dependencies, pathWhitelist }, entries);
}

const mode = (entry: RawEntry, bits: number): RawEntry => ({ ...entry, mode: bits });
const at = (entry: RawEntry, mtime: number): RawEntry => ({ ...entry, mtime });
const symlink = (name: string, linkname: string): RawEntry => ({ name, type: '2', linkname, mode: 0o777 });
const hardlink = (name: string, linkname: string): RawEntry => ({ name, type: '1', linkname });

async function onDevice(
  top: TestImage,
  among: readonly TestImage[],
  limits = defaultArchiveLimits,
): Promise<Buffer> {
  const steps = renderSteps<TestImage & MountedImage>(resolveDependencies(top, among));
  const out = new PassThrough();
  const collected = collect(out);
  collected.catch(() => undefined); // the renderer throws the reason
  await renderMounted({ steps, limits }, out);
  return await collected;
}

/** What the pull unit passes to the builder for an archive that the operator rendered. */
async function atTheOperators(top: TestImage, among: readonly TestImage[]): Promise<Buffer> {
  const output = join(home, 'rendered.aci');
  await renderImage({ image: top, among, output, compression: 'none' });
  const canonicalTar = new PassThrough();
  const collected = collect(canonicalTar);
  await readArchive(createReadStream(output), { limits: defaultArchiveLimits, canonicalTar });
  return await collected;
}

/** Checks that both renderings are the same bytes; returns the paths in them. */
async function sameOnBoth(top: TestImage, among: readonly TestImage[]): Promise<string[]> {
  const expected = await atTheOperators(top, among);
  const found = await onDevice(top, among);
  expect(found.equals(expected)).toBe(true);
  const paths: string[] = [];
  const limits = defaultArchiveLimits;
  await readArchive(createReadStream(join(home, 'rendered.aci')), {
    limits,
    onEntry: ({ path }) => void paths.push(path),
  });
  return paths.filter((path) => path.startsWith('rootfs/')).map((path) => path.slice('rootfs/'.length));
}

describe('rendering mounted images yields the same bytes as rendering their archives (ace.md#filesystem-setup)', () => {
  it('for a whitelist of the image itself, with modes, times, attributes, links, FIFOs and long names [C39]', async () => {
    const long = `rootfs/d/${'long-'.repeat(40)}name`;
    const base = await image('base', [
      mode(at(rootfs, 5), 0o751),
      at(mode(directory('rootfs/d'), 0o2770), 6),
      mode(file('rootfs/d/setuid', 'program'), 0o4755),
      pax({ 'SCHILY.xattr.user.note': Buffer.from([0, 255, 10]) }),
      file('rootfs/d/noted', 'y'.repeat(300_000)),
      hardlink('rootfs/d/again', 'rootfs/d/noted'),
      symlink('rootfs/d/link', '/anywhere/else'),
      { name: 'rootfs/d/pipe', type: '6' },
      pax({ path: long }),
      file('short', 'of the long name'),
      pax({ path: 'rootfs/d/é\u{1f600}' }),
      file('short', 'of the name with an accent'),
      hardlink('rootfs/dropped', 'rootfs/d/noted'),
      file('rootfs/gone', 'not listed'),
    ]);
    const listed = ['setuid', 'noted', 'again', 'link', 'pipe', long.slice('rootfs/d/'.length), 'é\u{1f600}'];
    const top = await image(
      'top',
      [at(rootfs, 7), file('rootfs/own', '')],
      [base],
      ['/own', ...listed.map((name) => `/d/${name}`)],
    );
    // All but two of the files below are in the list.
    expect(await sameOnBoth(top, [base])).toEqual(['d', ...listed.map((name) => `d/${name}`).sort(), 'own']);
  });

  it('for a list of a dependency, which leaves its sibling alone', async () => {
    const listed = await image('listed', [rootfs, file('rootfs/keep'), file('rootfs/drop')], [], ['/keep']);
    const sibling = await image('sibling', [rootfs, file('rootfs/other'), file('rootfs/drop', 'mine')]);
    const top = await image('top', [rootfs], [listed, sibling]);
    expect(await sameOnBoth(top, [listed, sibling])).toEqual(['drop', 'keep', 'other']);
  });

  it('for several lists along one path, and a diamond whose image is filtered twice', async () => {
    const d = await image('d', [rootfs, file('rootfs/a', 'd'), file('rootfs/b', 'd'), file('rootfs/c', 'd')]);
    const b = await image('b', [rootfs, file('rootfs/a', 'b')], [d], ['/a', '/b']);
    const c = await image('c', [rootfs, file('rootfs/c', 'c')], [d], ['/b', '/c']);
    const top = await image('top', [rootfs, file('rootfs/e')], [b, c], ['/a', '/b', '/c']);
    expect(await sameOnBoth(top, [b, c, d])).toEqual(['a', 'b', 'c']);
  });

  it.each([
    [
      'a directory over a file over a directory',
      [[directory('rootfs/a'), file('rootfs/a/b')], [file('rootfs/a')], [directory('rootfs/a')]],
      ['a'],
    ],
    [
      'a hard link whose other name an upper image replaces',
      [[file('rootfs/f', 'low'), hardlink('rootfs/h', 'rootfs/f')], [file('rootfs/f', 'upper')]],
      ['f', 'h'],
    ],
    [
      'a link in the place of a directory that an upper image only implies',
      [[directory('rootfs/real'), symlink('rootfs/etc', 'real')], [file('rootfs/etc/x')]],
      ['etc', 'etc/x', 'real'],
    ],
    [
      'a directory that an upper image only implies: the entry of the lower one counts',
      [[mode(directory('rootfs/etc'), 0o700), file('rootfs/etc/low')], [file('rootfs/etc/x/y')]],
      ['etc', 'etc/low', 'etc/x', 'etc/x/y'],
    ],
  ])('for %s', async (_what, layers, paths) => {
    const below: TestImage[] = [];
    for (const [index, entries] of layers.entries()) {
      below.push(await image(`layer-${index}`, [rootfs, ...entries]));
    }
    const top = await image('top', [rootfs], below);
    expect(await sameOnBoth(top, below)).toEqual(paths);
  });

  it('for an archive that leaves out its root directory too', async () => {
    const base = await image('base', [mode(rootfs, 0o700), file('rootfs/a')]);
    const top = await image('top', [file('rootfs/b')], [base]);
    expect(top.impliesDirectories).toBe(true);
    expect(await sameOnBoth(top, [base])).toEqual(['a', 'b']);
  });
});

describe('a mounted image that cannot come from an archive', () => {
  it('is refused when it implies directories and does not list them', async () => {
    const base = await image('base', [rootfs, file('rootfs/a')]);
    const top = await image('top', [file('rootfs/d/b')], [base]);
    rmSync(join(top.directory, 'implied'));
    await expect(onDevice(top, [base])).rejects.toMatchObject({ code: 'image-dependency-invalid' });
  });

  it('is refused when its manifest is a link to something else', async () => {
    const top = await image('top', [rootfs, file('rootfs/a')], [], ['/a']);
    writeFileSync(join(home, 'secret'), readFileSync(join(top.directory, 'manifest')));
    rmSync(join(top.directory, 'manifest'));
    symlinkSync(join(home, 'secret'), join(top.directory, 'manifest'));
    await expect(onDevice(top, [])).rejects.toMatchObject({ code: 'archive-entry-unsupported' });
  });

  it('is refused when all images together have too many entries, so that memory is bounded', async () => {
    const base = await image('base', [rootfs, file('rootfs/a'), file('rootfs/b')]);
    const top = await image('top', [rootfs, file('rootfs/c')], [base], ['/a']);
    const limits = { ...defaultArchiveLimits, maxEntries: 6 };
    await expect(onDevice(top, [base], limits)).rejects.toMatchObject({ code: 'archive-too-large' });
    await expect(onDevice(top, [base], { ...limits, maxEntries: 7 })).resolves.toBeDefined();
  });

  it('never lets a file behind a link be read, even if the tree changes meanwhile', async () => {
    const large = file('rootfs/a', 'x'.repeat(200_000));
    const top = await image('top', [
      rootfs,
      large,
      directory('rootfs/d'),
      file('rootfs/d/passwd', 'harmless'),
    ]);
    writeFileSync(join(home, 'passwd'), 'a secret'); // as long as the listed one
    const out = new PassThrough();
    const collected = collect(out).catch(() => Buffer.alloc(0));
    const steps = [{ image: top, above: [] }];
    // The renderer writes its first bytes after it has read the tree. The swap is at that moment.
    const write = out.write.bind(out);
    out.write = ((chunk: Buffer, done: () => void) => {
      rmSync(join(top.directory, 'rootfs/d'), { recursive: true, force: true });
      symlinkSync(home, join(top.directory, 'rootfs/d'));
      return write(chunk, done);
    }) as typeof out.write;
    await expect(renderMounted({ steps, limits: defaultArchiveLimits }, out)).rejects.toMatchObject({
      code: 'image-corrupt',
    });
    expect((await collected).includes('a secret')).toBe(false);
  });
});
