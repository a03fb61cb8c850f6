import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { walkTar } from '../../../src/image/aci/walk-archive.ts';
import { arrange } from '../../../src/image/tree/source-tree.ts';
import { sourceEntries } from '../../../src/image/tree/rendered-tree.ts';
import { LayerTree } from '../../../src/operator/oci/layer-tree.ts';
import { directory, file, type RawEntry, source, tar } from '../../support/raw-tar.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'wherry-layers-'));
});
afterEach(async () => {
  await rm(scratch, { recursive: true });
});

const link = (name: string, linkname: string): RawEntry => ({ name, type: '1', linkname });
const symlink = (name: string, linkname: string): RawEntry => ({ name, type: '2', linkname });

/** The tree of layers: paths below the root with the content of files and the targets of links. */
async function flattened(...layers: readonly (readonly RawEntry[])[]): Promise<Record<string, string>> {
  const tree = await LayerTree.create(join(scratch, 'files'), defaultArchiveLimits);
  try {
    for (const layer of layers) {
      tree.nextLayer();
      await walkTar(source(tar(...layer)), defaultArchiveLimits, {
        onTar: () => undefined,
        visit: (entry, body) => tree.add(entry, body),
      });
    }
    const found: Record<string, string> = {};
    for (const { path, type, target } of arrange(sourceEntries(tree.snapshot()))) {
      const name = path.slice('rootfs/'.length);
      if (name === '') continue;
      if (type === 'file') found[name] = (await tree.text(name, 1000)) ?? '';
      else found[name] = type === 'directory' ? '/' : `${type} ${target}`;
    }
    return found;
  } finally {
    await tree.close();
  }
}

describe('layers form one tree (OCI image-spec, layer.md)', () => {
  it.each<[string, RawEntry[][], Record<string, string>]>([
    ['a file of an upper layer replaces the one below', [[file('a', '1')], [file('a', '2')]], { a: '2' }],
    ['parents that no layer names are made', [[file('a/b/c', '1')]], { a: '/', 'a/b': '/', 'a/b/c': '1' }],
    [
      'directories are merged',
      [
        [directory('d'), file('d/1', '1')],
        [directory('d'), file('d/2', '2')],
      ],
      { d: '/', 'd/1': '1', 'd/2': '2' },
    ],
    [
      'a directory replaces a file',
      [[file('d', '1')], [directory('d'), file('d/x', 'x')]],
      { d: '/', 'd/x': 'x' },
    ],
    ['a file replaces a directory with all in it', [[file('d/x', 'x')], [file('d', '1')]], { d: '1' }],
    [
      'a directory replaces a link to one',
      [
        [file('t/x', 'x'), symlink('d', 't')],
        [directory('d'), file('d/y', 'y')],
      ],
      { t: '/', 't/x': 'x', d: '/', 'd/y': 'y' },
    ],
    ['a whiteout removes a file', [[file('a', '1'), file('b', '1')], [file('.wh.a', '')]], { b: '1' }],
    [
      'a whiteout removes a directory with all in it',
      [[file('d/x', 'x'), file('e', '1')], [file('.wh.d', '')]],
      { e: '1' },
    ],
    ['a whiteout of nothing is nothing', [[file('a', '1')], [file('.wh.b', '')]], { a: '1' }],
    [
      'a whiteout hides lower layers only, first in its layer',
      [[file('a', '1')], [file('.wh.a', ''), file('a', '2')]],
      { a: '2' },
    ],
    [
      'a whiteout hides lower layers only, last in its layer',
      [[file('a', '1')], [file('a', '2'), file('.wh.a', '')]],
      { a: '2' },
    ],
    [
      'an opaque directory hides what is below',
      [[file('d/x', 'x')], [directory('d'), file('d/.wh..wh..opq', ''), file('d/y', 'y')]],
      { d: '/', 'd/y': 'y' },
    ],
    [
      'an opaque mark at the end of its layer hides lower layers only',
      [
        [file('d/x', 'x'), file('d/e/z', 'z')],
        [file('d/e/y', 'y'), file('d/.wh..wh..opq', '')],
      ],
      { d: '/', 'd/e': '/', 'd/e/y': 'y' },
    ],
    ['the bookkeeping of AUFS is left out', [[file('.wh..wh.plnk/1', ''), file('a', '1')]], { a: '1' }],
    [
      'the whiteout of a hard link leaves its other name',
      [[file('a', '1'), link('b', 'a')], [file('.wh.a', '')]],
      { b: '1' },
    ],
    [
      'a replaced file leaves what was linked to it',
      [[file('a', '1'), link('b', 'a')], [file('a', '2')]],
      { a: '2', b: '1' },
    ],
    [
      'a hard link to a file of a lower layer',
      [[file('a', '1')], [link('b', 'a')]],
      { a: '1', b: 'link rootfs/a' },
    ],
    [
      'a link on the way is followed inside the image',
      [[directory('usr/lib'), symlink('lib', 'usr/lib')], [file('lib/x', 'x')]],
      { usr: '/', 'usr/lib': '/', 'usr/lib/x': 'x', lib: 'symlink usr/lib' },
    ],
    [
      'an absolute link on the way leads to the root of the image',
      [[directory('t'), symlink('d', '/../../t')], [file('d/x', 'x')]],
      { t: '/', 't/x': 'x', d: 'symlink /../../t' },
    ],
    ['names may begin with ./ and /', [[file('./a', '1'), file('/b', '2')]], { a: '1', b: '2' }],
  ])('%s', async (_what, layers, expected) => {
    expect(await flattened(...layers)).toEqual(expected);
  });

  it.each<[string, RawEntry[], string]>([
    ['climbs', [file('../x')], 'archive-path-forbidden'],
    ['climbs in the middle', [file('a/../../x')], 'archive-path-forbidden'],
    ['lies under a file', [file('a'), file('a/b')], 'archive-path-forbidden'],
    ['lies behind a link that leads nowhere', [symlink('a', 'b'), file('a/x')], 'archive-path-forbidden'],
    [
      'lies behind links in a circle',
      [symlink('a', 'b'), symlink('b', 'a'), file('a/x')],
      'archive-path-forbidden',
    ],
    ['is a hard link out of the image', [link('a', '../../etc/passwd')], 'archive-link-forbidden'],
    ['is a hard link to nothing', [link('a', 'b')], 'archive-link-forbidden'],
    ['is a hard link to a directory', [directory('d'), link('a', 'd')], 'archive-link-forbidden'],
    ['is a device node', [{ name: 'dev/sda', type: '4' }], 'archive-entry-unsupported'],
  ])('a layer is refused when an entry %s', async (_what, layer, code) => {
    await expect(flattened(layer)).rejects.toMatchObject({ code });
  });
});
