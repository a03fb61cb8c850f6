import { describe, expect, it } from 'vitest';
import { collect } from '../../../src/device/store/collect.ts';
import { CrashingDisk, everyCrash } from './crashing-disk.ts';

const directories = { images: '/images', partial: '/partial', pods: '/pods', metadata: '/metadata' };
const bytes = new Uint8Array(100);

function fullDisk(): CrashingDisk {
  const disk = new CrashingDisk();
  for (const path of [
    '/images/sha512-used.erofs',
    '/images/sha512-old.erofs',
    '/images/sha512-half.erofs.new',
    '/partial/now/download',
    '/partial/then/download',
    '/partial/then/object.erofs',
    '/pods/uuid-1/app/config.json',
    '/pods/uuid-2/app/config.json',
    '/metadata/uuid-1.json',
    '/metadata/uuid-2.json',
    '/state-a.cbor',
  ]) {
    disk.put(path, bytes);
  }
  return disk;
}

const roots = { objectIds: ['sha512-used'], jobs: ['now'], podUuids: ['uuid-1'], secretDigests: ['used'] };
const reachable = [
  '/images/sha512-used.erofs',
  '/metadata/uuid-1.json',
  '/partial/now/download',
  '/pods/uuid-1/app/config.json',
  '/state-a.cbor',
];

describe('garbage collection', () => {
  it('removes every image, download and pod that nothing needs, and reports the freed space', async () => {
    const disk = fullDisk();
    expect(await collect(disk, directories, roots)).toEqual({
      removed: [
        '/images/sha512-half.erofs.new',
        '/images/sha512-old.erofs',
        '/partial/then',
        '/pods/uuid-2',
        '/metadata/uuid-2.json',
      ],
      freedBytes: 600,
    });
    expect(disk.paths()).toEqual(reachable);
  });

  it('has nothing to do the second time', async () => {
    const disk = fullDisk();
    await collect(disk, directories, roots);
    expect(await collect(disk, directories, roots)).toEqual({ removed: [], freedBytes: 0 });
  });

  it('keeps needed files, and finishes later, after a power cut', async () => {
    const disk = fullDisk();
    for (const outcome of await everyCrash(disk, () => collect(disk, directories, roots))) {
      await collect(outcome, directories, roots);
      expect(outcome.paths()).toEqual(reachable);
    }
  });

  it('accepts directories that do not exist yet', async () => {
    expect((await collect(new CrashingDisk(), directories, roots)).removed).toEqual([]);
  });
});
