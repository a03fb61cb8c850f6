import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrange } from '../../../src/image/tree/source-tree.ts';
import {
  type Directory,
  emptyTree,
  type Leaf,
  overlay,
  sourceEntries,
  TreeOfArchive,
  whitelisted,
} from '../../../src/image/tree/rendered-tree.ts';

/**
 * Trees in short: `a/` a directory with an entry of its own, `a=x` a file with content x, `a->b` a
 * symbolic link, `h==f` a hard link. Directories above are implied unless they are named.
 */
function tree(...words: readonly string[]): Directory {
  const made = new TreeOfArchive();
  made.add(entry('rootfs', 'directory'));
  for (const word of words) {
    const [, path = '', form = '', rest = ''] = /^(.+?)(\/(?=[0-7]*$)|->|==|=)(.*)$/.exec(word) ?? [];
    const full = `rootfs/${path}`;
    if (form === '/')
      made.add({ ...entry(full, 'directory'), mode: rest === '' ? 0o700 : parseInt(rest, 8) });
    else if (form === '->') made.add({ ...entry(full, 'symlink'), target: rest });
    else if (form === '==') made.add({ ...entry(full, 'link'), target: `rootfs/${rest}` });
    else made.add({ ...entry(full, 'file'), sizeBytes: rest.length }, { bytes: Buffer.from(rest) });
  }
  return made.tree;
}

function entry(path: string, type: 'directory' | 'symlink' | 'link' | 'file') {
  return { path, type, target: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, sizeBytes: 0, xattrs: [] };
}

/** A tree as words, for comparison: modes of directories, contents, targets. */
function words(root: Directory): string[] {
  const list: string[] = [];
  const visit = (node: Leaf | Directory, path: string): void => {
    if (node.kind === 'directory') {
      if (path !== '') list.push(`${path}/${node.meta.mode.toString(8)}`);
      for (const [name, child] of node.children) visit(child, path === '' ? name : `${path}/${name}`);
    } else if (node.kind === 'symlink') list.push(`${path}->${node.target}`);
    else {
      const bytes =
        node.content !== undefined && 'bytes' in node.content ? node.content.bytes : Buffer.alloc(0);
      list.push(`${path}=${Buffer.from(bytes).toString()}`);
    }
  };
  visit(root, '');
  return list.sort();
}

const render = (...layers: readonly (readonly string[])[]) =>
  words(layers.map((layer) => tree(...layer)).reduce(overlay, emptyTree));

describe('[A4.5] [A4.6] laying images over each other (ace.md#filesystem-setup)', () => {
  it.each([
    // lowest first
    ['a file is added', [['a=1'], ['b=2']], ['a=1', 'b=2']],
    ['a path that is there already MUST be overwritten', [['a=1'], ['a=2']], ['a=2']],
    [
      'directories are one',
      [
        ['d/', 'd/a=1'],
        ['d/', 'd/b=2'],
      ],
      ['d/700', 'd/a=1', 'd/b=2'],
    ],
    ['the entry of the upper directory counts', [['d/700'], ['d/755']], ['d/755']],
    [
      'an upper directory without an entry changes nothing',
      [['d/700', 'd/a=1'], ['d/b=2']],
      ['d/700', 'd/a=1', 'd/b=2'],
    ],
    ['a file replaces a directory with all that is in it', [['d/', 'd/a=1'], ['d=2']], ['d=2']],
    ['a directory replaces a file', [['d=1'], ['d/', 'd/a=2']], ['d/700', 'd/a=2']],
    [
      'a link to a directory MUST NOT be followed and MUST be replaced',
      [
        ['real/', 'real/a=1', 'd->real'],
        ['d/', 'd/b=2'],
      ],
      ['d/700', 'd/b=2', 'real/700', 'real/a=1'],
    ],
    ['a link replaces a directory', [['d/', 'd/a=1'], ['d->e']], ['d->e']],
  ])('specification: %s', (_what, layers, expected) => {
    expect(render(...layers)).toEqual(expected);
  });
});

describe('[A4.10] the five cases in which the reference differs from the text, which counts (ace.md#filesystem-setup)', () => {
  it('1: directory over file over directory leaves an empty directory', () => {
    expect(render(['a/', 'a/b=1'], ['a=2'], ['a/'])).toEqual(['a/700']);
  });

  it('2: a hard link of a lower image keeps its content when an upper image replaces the other name', () => {
    expect(render(['f=lower', 'h==f'], ['f=upper'])).toEqual(['f=upper', 'h=lower']);
  });

  it('3: a hard link that is whitelisted has the content, though its other name is not', () => {
    expect(words(whitelisted(tree('f=content', 'h==f'), ['/h']))).toEqual(['h=content']);
  });

  it('4: a link in the place of a directory that an upper image only implies is replaced by a directory', () => {
    expect(render(['real/', 'etc->real'], ['etc/x=1'])).toEqual(['etc/755', 'etc/x=1', 'real/700']);
  });

  it('5: a shorter file replaces all of a longer one', () => {
    // Two entries of one path in one archive are refused: read-archive.test.ts.
    expect(render(['f=long content'], ['f=short'])).toEqual(['f=short']);
  });
});

describe('[A4.7] a path whitelist (aci.md#image-manifest-schema, pathWhitelist)', () => {
  const full = tree('bin/755', 'bin/sh=1', 'etc/700', 'etc/a=2', 'etc/d/', 'etc/d/b=3', 'l->bin');

  it.each([
    ['specification: an empty one has no effect', [], words(full)],
    ['specification: everything else is removed', ['/bin/sh'], ['bin/755', 'bin/sh=1']],
    ['reference-only: a directory in it does not include its content', ['/etc'], ['etc/700']],
    [
      'ours: directories on the way to a listed path stay unchanged',
      ['/etc/d/b'],
      ['etc/700', 'etc/d/700', 'etc/d/b=3'],
    ],
    ['reference-only: paths are cleaned', ['//etc/./d/'], ['etc/700', 'etc/d/700']],
    ['specification: a link is kept by its own path', ['/l'], ['l->bin']],
    ['ours: a missing path adds nothing', ['/none', '/l/sh'], []],
  ])('%s: %j', (_what, paths, expected) => {
    expect(words(whitelisted(full, paths))).toEqual(expected);
  });
});

describe('trees of any shape', () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const word = fc
    .tuple(path, fc.constantFrom('/755', '/700', '=1', '=2', '->a'))
    .map((both) => both.join(''));
  /** Words of a possible archive: each path once, each in a directory. */
  const layer = fc.array(word, { maxLength: 8 }).map((list) => {
    const kept: string[] = [];
    for (const candidate of list) {
      try {
        const before = words(tree(...kept)).length;
        if (words(tree(...kept, candidate)).length > before) kept.push(candidate);
      } catch {
        // its parent is a file
      }
    }
    return tree(...kept);
  });

  it('[A4.4] an image that is there twice counts where it is uppermost, so layersOf omits the lower one', () => {
    fc.assert(
      fc.property(layer, layer, layer, (twice, between, top) => {
        const all = [twice, between, twice, top].reduce(overlay, emptyTree);
        const once = [between, twice, top].reduce(overlay, emptyTree);
        expect(words(once)).toEqual(words(all));
      }),
    );
  });

  it('overlaying does not change its parts', () => {
    fc.assert(
      fc.property(layer, layer, (low, top) => {
        const before = [low, top].map(words);
        overlay(low, top);
        expect([low, top].map(words)).toEqual(before);
      }),
    );
  });

  it('is written parents first, names in byte order', () => {
    fc.assert(
      fc.property(layer, (one) => {
        const entries = [...sourceEntries(one)];
        expect(entries).toEqual(arrange(entries));
      }),
    );
    const paths = [...sourceEntries(tree('a.b=1', 'a/x=2', '\uffee=3', '\u{1f600}=4'))].map(
      ({ path }) => path,
    );
    expect(paths).toEqual([
      'rootfs',
      'rootfs/a',
      'rootfs/a/x',
      'rootfs/a.b',
      'rootfs/\uffee',
      'rootfs/\u{1f600}',
    ]);
  });

  it('has the later names of a file as links to the first one that remains', () => {
    const linked = tree('z=1', 'b==z', 'c==z');
    const names = (root: Directory) =>
      [...sourceEntries(root)].slice(1).map(({ path, type, target }) => [path, type, target]);
    expect(names(linked)).toEqual([
      ['rootfs/b', 'file', ''],
      ['rootfs/c', 'link', 'rootfs/b'],
      ['rootfs/z', 'link', 'rootfs/b'],
    ]);
    expect(names(whitelisted(linked, ['/c']))).toEqual([['rootfs/c', 'file', '']]);
  });
});
