// Labels as in docs/appc-checklist.md. Facts from github.com/appc/spec at 259c2ee,
// pkg/acirenderer/acirenderer_test.go (Apache-2.0, Copyright 2015 The appc Authors): the archives,
// and the trees that are expected of them.
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { inspectArchive } from '../../../src/image/aci/inspect.ts';
import { type ImageFile, renderImage } from '../../../src/operator/build/render.ts';
import { type RawEntry, tar } from '../../support/raw-tar.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-reference-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/**
 * Files are written `path=size`, directories `path/mode`, symbolic links `path->target`; a path
 * alone is a file of 5 bytes.
 */
interface Layer {
  readonly name: string;
  readonly files: readonly string[];
  readonly needs?: readonly string[];
  readonly whitelist?: readonly string[];
}

function entryOf(word: string): RawEntry {
  const [, path = '', form = '', rest = ''] = /^(.*?)(?:(->|=|\/(?=[0-7]{3}$))(.*))?$/.exec(word) ?? [];
  const name = path === '' ? 'rootfs' : `rootfs/${path}`;
  if (form === '->') return { name, type: '2', linkname: rest };
  if (form === '/') return { name, type: '5', mode: parseInt(rest, 8) };
  return { name, body: 'x'.repeat(rest === '' ? 5 : Number(rest)) };
}

async function imageOf({ name, files, needs = [], whitelist = [] }: Layer): Promise<ImageFile> {
  const manifest = JSON.stringify({
    acKind: 'ImageManifest',
    acVersion: '0.1.1',
    name: `example.com/${name}`,
    dependencies: needs.map((one) => ({ imageName: `example.com/${one}` })),
    pathWhitelist: whitelist,
  });
  const path = join(directory, `${name}.aci`);
  // The reference writes no entry for the root. Here an archive without a rootfs is refused.
  const root: RawEntry[] = files.some((file) => file.startsWith('/')) ? [] : [{ name: 'rootfs', type: '5' }];
  writeFileSync(path, tar({ name: 'manifest', body: manifest }, ...root, ...files.map(entryOf)));
  const { imageId, manifest: read } = await inspectArchive(createReadStream(path), defaultArchiveLimits);
  return { id: imageId, manifest: read, path };
}

/** The rendered tree in the same notation, without directories that no archive has an entry of. */
async function rendered(layers: readonly Layer[]): Promise<string[]> {
  const images: ImageFile[] = [];
  for (const layer of layers) images.push(await imageOf(layer));
  const [image] = images;
  if (image === undefined) throw new Error('no image');
  const output = join(directory, 'rendered.aci');
  await renderImage({ image, among: images, output, compression: 'none' });
  const named = new Set(layers.flatMap(({ files }) => files.map((word) => entryOf(word).name)));
  const { list } = await inspectArchive(createReadStream(output), defaultArchiveLimits);
  return list
    .filter(({ path, type }) => path !== 'manifest' && (type !== 'directory' || named.has(path)))
    .map(({ path, type, target, mode, sizeBytes }) => {
      const word = path.slice('rootfs/'.length);
      if (type === 'directory') return `${word}/${mode.toString(8)}`;
      return type === 'symlink' ? `${word}->${target}` : `${word}=${sizeBytes}`;
    })
    .sort();
}

const parent = (files: readonly string[], whitelist?: readonly string[]): Layer => ({
  name: 'test01',
  files,
  ...(whitelist === undefined ? {} : { whitelist }),
});
const upper = (files: readonly string[], whitelist?: readonly string[]): Layer => ({
  name: 'test02',
  files,
  needs: ['test01'],
  ...(whitelist === undefined ? {} : { whitelist }),
});

const manyFiles = [
  ...['a/file01.txt', 'a/file02.txt', 'a/file03.txt', 'b/link01.txt->file01.txt'],
  ...['c/700', 'c/file01.txt', 'd/700', 'd/file01.txt', 'e/file01.txt'],
];
const fourFiles = [
  ...['a/file01.txt', 'a/file02.txt', 'a/file03.txt', 'a/file04.txt'],
  'b/link01.txt->file01.txt',
];
const twoLonger = ['a/file01.txt=10', 'a/file02.txt=10', 'b/file01.txt'];
const top = ['a/file01.txt=15', 'b/file02.txt', 'c/file01.txt'];
const topList = [
  ...['/a/file01.txt', '/a/file02.txt', '/a/file03.txt', '/b/link01.txt'],
  ...['/b/file01.txt', '/b/file02.txt', '/c/file01.txt'],
];
const sevenFiles = [
  ...['a/file01.txt=15', 'a/file02.txt=10', 'a/file03.txt=5', 'b/file01.txt=5', 'b/file02.txt=5'],
  ...['b/link01.txt->file01.txt', 'c/file01.txt=5'],
];

describe('[A4.17] the trees that the reference expects of its renderer', () => {
  it.each<[string, string, Layer[], string[]]>([
    ['specification', 'TestDirFromParent', [upper([]), parent(['a/755'])], ['a/755']],
    ['specification', 'TestNewDir', [upper([]), parent(['a/755'])], ['a/755']],
    ['specification', 'TestDirOverride', [upper(['a/700']), parent(['a/755'])], ['a/700']],
    ['specification', 'TestFileFromParent', [upper([]), parent(['a/file01.txt'])], ['a/file01.txt=5']],
    ['specification', 'TestNewFile', [upper(['a/file01.txt=10']), parent([])], ['a/file01.txt=10']],
    [
      'specification',
      'TestFileOverride',
      [upper(['a/file01.txt=10']), parent(['a/file01.txt'])],
      ['a/file01.txt=10'],
    ],
    [
      'specification',
      'TestFileOvverideDir',
      [upper(['a/b=10']), parent(['a/b/700', 'a/b/c/700', 'a/b/c/file01'])],
      ['a/b=10'],
    ],
    [
      'specification',
      'TestPWLOnlyParent',
      [
        upper(['b/file01.txt=10', 'c/file02.txt']),
        parent(manyFiles, ['/a/file01.txt', '/a/file02.txt', '/b/link01.txt', '/c/', '/d/']),
      ],
      [
        ...['a/file01.txt=5', 'a/file02.txt=5', 'b/file01.txt=10', 'b/link01.txt->file01.txt'],
        ...['c/700', 'c/file02.txt=5', 'd/700'],
      ],
    ],
    [
      // The reference has no c: it lets the list of an upper image filter directories that lead to
      // a listed path (docs/decisions/appc-differences.md, 14c).
      'ours',
      'TestPWLOnlyImage',
      [
        upper(
          ['a/file01.txt=10', 'c/file02.txt'],
          [...['/a/file01.txt', '/a/file02.txt', '/b/link01.txt', '/b/file01.txt', '/c/file02.txt'], '/d/'],
        ),
        parent(manyFiles),
      ],
      [
        ...['a/file01.txt=10', 'a/file02.txt=5', 'b/link01.txt->file01.txt'],
        ...['c/700', 'c/file02.txt=5', 'd/700'],
      ],
    ],
    [
      'specification',
      'Test2Deps1: A (list) needs B (list) and C',
      [
        { name: 'test03', files: top, needs: ['test01', 'test02'], whitelist: topList },
        parent(fourFiles, [
          ...['/a/file01.txt', '/a/file02.txt', '/a/file03.txt', '/a/file04.txt'],
          ...['/b/link01.txt', '/b/file01.txt'],
        ]),
        { name: 'test02', files: twoLonger },
      ],
      sevenFiles,
    ],
    [
      'specification',
      'Test2Deps2: A (list) needs B and C (list)',
      [
        { name: 'test03', files: top, needs: ['test01', 'test02'], whitelist: topList },
        parent(fourFiles),
        {
          name: 'test02',
          files: twoLonger,
          whitelist: ['/a/file01.txt', '/a/file02.txt', '/b/file01.txt'],
        },
      ],
      sevenFiles,
    ],
    [
      'specification',
      'Test3Deps: A (list) needs B and C, C needs D',
      [
        { name: 'test04', files: top, needs: ['test01', 'test02'], whitelist: topList },
        parent(fourFiles),
        { name: 'test02', files: twoLonger, needs: ['test03'] },
        { name: 'test03', files: ['a/file02.txt', 'b/file01.txt', 'd/700', 'd/file01.txt'] },
      ],
      sevenFiles,
    ],
    ['specification', 'TestEmptyRootFsDir', [{ name: 'empty', files: ['/700'] }], ['/700']],
  ])('%s: %s', async (_label, _name, layers, expected) => {
    expect(await rendered(layers)).toEqual([...expected].sort());
  });

  it('ours: TestEmptyRootFsDir with a relative path in its list is refused: the text requires absolute paths', async () => {
    const relative = imageOf({ name: 'relative', files: ['/700'], whitelist: ['foo'] });
    await expect(relative).rejects.toMatchObject({ code: 'image-manifest-invalid' });
    expect(await rendered([{ name: 'absolute', files: ['/700'], whitelist: ['/foo'] }])).toEqual(['/700']);
  });

  // TestGetUpperPWLM: which lists filter an image. One file per list, one in both, one in neither.
  const lists = { files: ['both', 'first', 'second', 'neither'] };
  it.each<[string, string, Layer[], string[]]>([
    [
      'specification',
      'A (list) alone is filtered by its own only',
      [{ name: 'a', ...lists, whitelist: ['/first', '/both'] }],
      ['both=5', 'first=5'],
    ],
    [
      // The reference uses only the topmost list (docs/decisions/appc-differences.md, 12).
      'specification',
      'C below B (list) below A (list) is filtered by both',
      [
        { name: 'a', files: [], needs: ['b'], whitelist: ['/first', '/both'] },
        { name: 'b', files: [], needs: ['c'], whitelist: ['/second', '/both'] },
        { name: 'c', ...lists },
      ],
      ['both=5'],
    ],
    [
      'specification',
      'D below B is not filtered by C (list), a sibling of B',
      [
        { name: 'a', files: [], needs: ['b', 'c'] },
        { name: 'b', files: [], needs: ['d'] },
        { name: 'c', files: [], whitelist: ['/first'] },
        { name: 'd', ...lists },
      ],
      ['both=5', 'first=5', 'neither=5', 'second=5'],
    ],
  ])('%s (TestGetUpperPWLM): %s', async (_label, _what, layers, expected) => {
    expect(await rendered(layers)).toEqual(expected);
  });
});
