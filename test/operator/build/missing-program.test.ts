import { describe, expect, it } from 'vitest';

import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { programNote } from '../../../src/operator/build/missing-program.ts';

type Entries = Parameters<typeof programNote>[1];

function note(program: string, entries: Entries, more: object = {}, appMore: object = {}): string | undefined {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'example.com/app',
    app: { exec: [program], user: '0', group: '0', ...appMore },
    ...more,
  };
  return programNote(parseImageManifest(Buffer.from(JSON.stringify(manifest))), entries);
}

const directory = (path: string) => ({ path, type: 'directory', mode: 0o755, target: '' }) as const;
const file = (path: string, mode = 0o755) => ({ path, type: 'file', mode, target: '' }) as const;
const symlink = (path: string, target: string) => ({ path, type: 'symlink', mode: 0o777, target }) as const;

describe('a program that the image does not have', () => {
  it.each<[string, Entries, string]>([
    ['is missing', [directory('rootfs/bin')], 'is not in the image'],
    ['has no execute bit', [file('rootfs/bin/app', 0o644)], 'is not executable'],
    ['is a directory', [directory('rootfs/bin/app')], 'is not a file'],
    ['is a link to nothing', [symlink('rootfs/bin/app', 'gone')], 'is not in the image'],
    ['is a link to itself', [symlink('rootfs/bin/app', 'app')], 'is not in the image'],
    ['is below a file', [file('rootfs/bin')], 'is not in the image'],
  ])('is noted when it %s', (_case, entries, expected) => {
    expect(note('/bin/app', entries)).toBe(`its program "/bin/app" ${expected}`);
  });

  it.each<[string, Entries]>([
    ['the file', [file('rootfs/bin/app')]],
    ['below a linked directory', [symlink('rootfs/bin', 'usr/bin'), file('rootfs/usr/bin/app')]],
    ['an absolute link', [symlink('rootfs/bin/app', '/../lib/./app'), file('rootfs/lib/app')]],
    [
      'a hard link',
      [file('rootfs/a'), { path: 'rootfs/bin/app', type: 'link', mode: 0o644, target: 'rootfs/a' }],
    ],
    ['a link into the mount of a runtime', [symlink('rootfs/bin/app', '/proc/self/exe')]],
  ])('is not noted when its path is %s', (_case, entries) => {
    expect(note('/bin/app', entries)).toBeUndefined();
  });

  it.each<[string, string, object, object]>([
    ['is looked for in PATH', 'app', {}, {}],
    ['may come from a dependency', '/bin/app', { dependencies: [{ imageName: 'example.com/base' }] }, {}],
    ['may come from a volume', '/data/app', {}, { mountPoints: [{ name: 'data', path: '/data' }] }],
  ])('is not noted when it %s', (_case, program, more, appMore) => {
    expect(note(program, [], more, appMore)).toBeUndefined();
  });
});
