import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { walkTar } from '../../../src/image/aci/walk-archive.ts';
import { arrange } from '../../../src/image/tree/source-tree.ts';
import {
  type Directory,
  type Leaf,
  sourceEntries,
  overlay,
  whitelisted,
} from '../../../src/image/tree/rendered-tree.ts';
import { LayerTree } from '../../../src/operator/oci/layer-tree.ts';
import { pathsOf, treeDelta } from '../../../src/operator/oci/tree-delta.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { directory, file, pax, type RawEntry, source, tar } from '../../support/raw-tar.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'wherry-delta-'));
});
afterEach(async () => {
  await rm(scratch, { recursive: true });
});

const link = (name: string, linkname: string): RawEntry => ({ name, type: '1', linkname });
const symlink = (name: string, linkname: string): RawEntry => ({ name, type: '2', linkname });

/** The tree after each of the layers. A refused layer is left out. */
async function treesOf(layers: readonly (readonly RawEntry[])[]): Promise<Directory[]> {
  const spool = join(await mkdtemp(join(scratch, 'tree-')), 'files');
  const tree = await LayerTree.create(spool, defaultArchiveLimits);
  try {
    const trees = [];
    for (const layer of layers) {
      tree.nextLayer();
      await walkTar(source(tar(...layer)), defaultArchiveLimits, {
        onTar: () => undefined,
        visit: (entry, body) => tree.add(entry, body),
      }).catch((error: unknown) => {
        if (!isRefusal(error)) throw error;
      });
      trees.push(tree.snapshot());
    }
    return trees;
  } finally {
    await tree.close();
  }
}

/**
 * The tree as read back from an archive: files are new values, and names of one file still share
 * one.
 */
function archived(tree: Directory): Directory {
  const copies = new Map<Leaf, Leaf>();
  const copy = (node: Directory): Directory => ({
    ...node,
    children: new Map(
      [...node.children].map(([name, child]): [string, Leaf | Directory] => {
        if (child.kind === 'directory') return [name, copy(child)];
        copies.set(child, copies.get(child) ?? { ...child });
        return [name, copies.get(child) ?? child];
      }),
    ),
  });
  return copy(tree);
}

const written = (tree: Directory) => arrange(sourceEntries(tree)).map(({ inode: _, ...entry }) => entry);

describe('the delta from one tree to another', () => {
  it.each<[string, RawEntry[], RawEntry[], string[], string[]]>([
    [
      'a new file, with the directories that lead to it',
      [file('d/e/a')],
      [file('d/e/b')],
      ['/d', '/d/e', '/d/e/b'],
      [],
    ],
    ['a changed file', [file('a', '1'), file('b', '1')], [file('a', '2')], ['/a'], []],
    [
      'a directory with another mode',
      [directory('d'), file('d/a')],
      [{ ...directory('d'), mode: 0o700 }],
      ['/d'],
      [],
    ],
    ['a directory that says the same again: nothing', [directory('d')], [directory('d')], [], []],
    ['a removed file', [file('d/a'), file('d/b')], [file('d/.wh.a')], [], ['/d/a']],
    [
      'a removed directory, not what was in it',
      [file('d/e/a'), file('d/e/b')],
      [file('d/.wh.e')],
      [],
      ['/d/e'],
    ],
    [
      'a file that was removed and is there again: no removal',
      [file('a', '1')],
      [file('.wh.a'), file('a', '2')],
      ['/a'],
      [],
    ],
    [
      'an opaque directory',
      [file('d/a'), file('d/b')],
      [file('d/.wh..wh..opq'), file('d/b', '2')],
      ['/d', '/d/b'],
      ['/d/a'],
    ],
    [
      'an opaque directory where nothing was: no removal',
      [file('a')],
      [file('d/.wh..wh..opq'), file('d/b')],
      ['/d', '/d/b'],
      [],
    ],
    ['a directory in place of a file', [file('a')], [file('.wh.a'), file('a/b')], ['/a', '/a/b'], []],
    ['a file in place of a directory: it covers all', [file('d/a')], [file('d', '1')], ['/d'], []],
    ['a whiteout of nothing', [file('a')], [file('.wh.b')], [], []],
    [
      'all names of a file that gets one more',
      [file('a'), link('b', 'a')],
      [link('c', 'a')],
      ['/a', '/b', '/c'],
      [],
    ],
    ['not the names of a file that loses one', [file('a'), link('b', 'a')], [file('a', '2')], ['/a'], []],
    [
      'what a link of the tree below leads to',
      [directory('t'), symlink('d', 't')],
      [file('d/a')],
      ['/t', '/t/a'],
      [],
    ],
  ])('%s', async (_what, below, above, paths, removed) => {
    const [before, after] = await treesOf([below, above]);
    if (before === undefined || after === undefined) throw new Error('two layers make two trees');
    const delta = treeDelta(before, after);
    expect(pathsOf(delta.tree)).toEqual(paths);
    expect(delta.removed).toEqual(removed);
    expect(delta.isEmpty).toBe(paths.length + removed.length === 0);
  });

  it('has a directory whose time or attributes differ, and removals in the order of their bytes', async () => {
    const attributes = (...names: string[]) => [
      pax(Object.fromEntries(names.map((name) => [`SCHILY.xattr.user.${name}`, 'x']))),
      directory('d'),
    ];
    for (const layers of [
      [[directory('d')], [{ ...directory('d'), mtime: 5 }]],
      [attributes('a', 'b'), attributes('a')],
      [attributes('a'), attributes('a', 'b')],
      [attributes('a'), attributes('b')],
    ]) {
      const [before, after] = await treesOf(layers);
      if (before === undefined || after === undefined) throw new Error('two layers make two trees');
      expect(pathsOf(treeDelta(before, after).tree)).toEqual(['/d']);
    }
    const [before, after] = await treesOf([
      [file('b'), file('a-b'), file('a/b')],
      [file('.wh.b'), file('.wh.a-b'), file('a/.wh.b')],
    ]);
    if (before === undefined || after === undefined) throw new Error('two layers make two trees');
    expect(treeDelta(before, after).removed).toEqual(['/a-b', '/a/b', '/b']);
  });

  it('produces the other tree, with a whitelist only if something is removed', async () => {
    const part = fc.constantFrom('a', 'b', 'c', 'd');
    const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const mode = fc.constantFrom(0o644, 0o700, 0o4755);
    const entry = fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .tuple(path, fc.constantFrom('1', '2'), mode)
          .map(([name, body, bits]) => ({ ...file(name, body), mode: bits })),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(path, mode).map(([name, bits]) => ({ ...directory(name), mode: bits })),
      },
      fc.tuple(path, path).map(([name, target]) => link(name, target)),
      fc.tuple(path, path).map(([name, target]) => symlink(name, `/${target}`)),
      { weight: 2, arbitrary: path.map((name) => file(name.replace(/[^/]+$/, '.wh.$&'), '')) },
      path.map((name) => file(`${name}/.wh..wh..opq`, '')),
    );
    const layers = fc.array(fc.array(entry, { maxLength: 8 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(layers, async (all) => {
        let below: Directory | undefined;
        let images: { own: Directory; lists: readonly (readonly string[])[] }[] = [];
        for (const after of await treesOf(all)) {
          const { tree, removed } = treeDelta(below, after);
          const list = removed.length > 0 ? pathsOf(after) : [];
          // An image whose list would be empty needs no other (LayerStack).
          if (removed.length > 0 && list.length === 0) images = [{ own: archived(after), lists: [] }];
          else images.push({ own: archived(tree), lists: [] });
          images = images.map(({ own, lists }) => ({ own, lists: [...lists, list] }));
          const filtered = images.map(({ own, lists }) => lists.reduce(whitelisted, own));
          expect(written(filtered.reduce(overlay))).toEqual(written(after));
          below = after;
        }
      }),
      { numRuns: 300 },
    );
  });
});
