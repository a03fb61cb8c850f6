import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { imageStore, type StoredImage } from '../../src/store/index.ts';
import { CrashingDisk, everyCrash } from './crashing-disk.ts';
import { objectBytes } from './object-bytes.ts';

const directory = '/images';
const made = '/partial/job/object.erofs';
const object = objectBytes(3);
const image: StoredImage = {
  id: `sha512-${'ab'.repeat(64)}`,
  name: 'example.com/app',
  sizeBytes: object.length,
  sha256: createHash('sha256').update(object).digest('hex'),
  manifest: Uint8Array.from(Buffer.from('{}')),
};

function diskWithObject(bytes: Uint8Array = object): CrashingDisk {
  const disk = new CrashingDisk();
  disk.put(made, bytes);
  return disk;
}

describe('committing an image object', () => {
  it('makes it root’s, read-only, and complete under the name of its image', async () => {
    const disk = diskWithObject();
    const store = imageStore(disk, directory);
    expect(await store.commit(made, image)).toEqual(image);
    expect(await store.list()).toEqual([image.id]);
    expect(await store.has(image.id)).toBe(true);
    expect(await disk.look(store.pathOf(image.id))).toMatchObject({ owner: { uid: 0, gid: 0 }, mode: 0o444 });
    expect(await disk.look(made)).toBeUndefined();
    expect(await store.verifyFully(image)).toBeUndefined();
  });

  it('leaves no object or a complete one after a power cut at any moment', async () => {
    const disk = diskWithObject();
    const outcomes = await everyCrash(disk, () => imageStore(disk, directory).commit(made, image));
    let present = 0;
    for (const outcome of outcomes) {
      const store = imageStore(outcome, directory);
      if (!(await store.has(image.id))) continue;
      present += 1;
      expect(await store.verifyFully(image)).toBeUndefined();
    }
    expect(present).toBeGreaterThan(0);
    expect(present).toBeLessThan(outcomes.length);
  });

  it('cannot be taken back by a power cut once it has returned', async () => {
    const disk = diskWithObject();
    await imageStore(disk, directory).commit(made, image);
    for (const outcome of disk.crashes()) {
      expect(outcome.paths()).toEqual([`${directory}/${image.id}.erofs`]);
    }
  });

  const changed = (offset: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(object);
    copy[offset] = value;
    return copy;
  };
  it.each([
    ['another size than reported', object.subarray(0, object.length - 4096), /bytes instead of/],
    ['no EROFS magic', changed(1024, 0), /no EROFS magic/],
    ['a file system longer than the file', changed(1024 + 36, 200), /cut off/],
    ['a block size that no kernel takes', changed(1024 + 12, 3), /block size/],
    ['features that mkfs.erofs does not use for us', changed(1024 + 80, 0x80), /features/],
    ['data on another device', changed(1024 + 86, 1), /another device/],
  ])('refuses an object with %s and removes it', async (_, bytes, message) => {
    const disk = diskWithObject(bytes);
    const refused = imageStore(disk, directory).commit(made, image);
    await expect(refused).rejects.toMatchObject({ code: 'image-build-failed' });
    await expect(refused).rejects.toThrow(message);
    expect(disk.paths()).toEqual([]);
  });
});

describe('a stored object', () => {
  async function stored(): Promise<CrashingDisk> {
    const disk = diskWithObject();
    await imageStore(disk, directory).commit(made, image);
    return disk;
  }
  const path = `${directory}/${image.id}.erofs`;

  it('that is missing or whose size, owner or superblock changed is found cheaply', async () => {
    const root = { owner: { uid: 0, gid: 0 }, mode: 0o444 };
    const disk = await stored();
    const store = imageStore(disk, directory);
    for (const spoil of [
      () => disk.put(path, object.subarray(0, 4096), root),
      () => disk.put(path, new Uint8Array(object.length), root),
      () => disk.put(path, object, { ...root, mode: 0o644 }),
      () => disk.put(path, object, { ...root, owner: { uid: 5, gid: 5 } }),
      () => void disk.remove(path),
    ]) {
      spoil();
      expect(await store.verifyCheaply(image)).toMatchObject({ code: 'image-corrupt' });
    }
  });

  it('with a flipped byte is found by reading all of it', async () => {
    const disk = await stored();
    const bytes = Uint8Array.from(object);
    bytes[9000] = 1;
    disk.put(path, bytes, { owner: { uid: 0, gid: 0 }, mode: 0o444 });
    const store = imageStore(disk, directory);
    expect(await store.verifyCheaply(image)).toBeUndefined();
    expect(await store.verifyFully(image)).toMatchObject({ code: 'image-corrupt' });
  });

  it('is removed for good', async () => {
    const disk = await stored();
    await imageStore(disk, directory).remove(image.id);
    for (const outcome of disk.crashes()) expect(outcome.paths()).toEqual([]);
  });

  it('is only ever looked for by the ID of an image or a rendered tree', () => {
    expect(() => imageStore(new CrashingDisk(), directory).pathOf('../../etc/passwd')).toThrow(
      /not the ID of an object/,
    );
  });
});
