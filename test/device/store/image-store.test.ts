import { createHash } from 'node:crypto';
import { parseImageId } from '../../../src/image/appc/index.ts';
import { describe, expect, it } from 'vitest';
import { imageStore, type StoredImage } from '../../../src/device/store/image-store.ts';
import type { Verity } from '../../../src/device/store/verity.ts';
import { CrashingDisk, everyCrash, sealOf } from './crashing-disk.ts';
import { objectBytes } from '../../support/object-bytes.ts';

const directory = '/images';
const made = '/partial/job/object.erofs';
const object = objectBytes(3);
const image: StoredImage = {
  id: parseImageId(`sha512-${'ab'.repeat(64)}`),
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
  it('makes it complete, read-only and owned by root under the name of its image', async () => {
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

  it('survives a power cut once it has returned', async () => {
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

  it('that is missing or has another size, owner or superblock is found without reading it', async () => {
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

  it('[A10.13] with a flipped byte is found by reading all of it', async () => {
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

  it('[A10.8] is found only by the ID of an image or a rendered tree', () => {
    expect(() => imageStore(new CrashingDisk(), directory).pathOf('../../etc/passwd')).toThrow(
      /not the ID of an object/,
    );
  });
});

describe('an image object on a file system that seals files', () => {
  const path = `${directory}/${image.id}.erofs`;
  const root = { owner: { uid: 0, gid: 0 }, mode: 0o444 };
  const storeOn = (disk: CrashingDisk, verity: Verity = disk) =>
    imageStore(disk, directory, { verity, seals: true });
  const damagedByte = (): Uint8Array => {
    const bytes = Uint8Array.from(object);
    bytes[9000] = 1;
    return bytes;
  };

  it('is sealed when it is committed, and stored with the digest of the kernel', async () => {
    const disk = diskWithObject();
    const stored = await storeOn(disk).commit(made, { ...image, verity: `sha256:${'0'.repeat(64)}` });
    expect(stored).toEqual({ ...image, verity: sealOf(object) });
    expect(await disk.measure(path)).toEqual({ kind: 'sealed', digest: sealOf(object) });
    expect(await storeOn(disk).verifyFully(stored)).toBeUndefined();
  });

  it('is complete and sealed, or absent, after a power cut at any moment', async () => {
    const disk = diskWithObject();
    const outcomes = await everyCrash(disk, () => storeOn(disk).commit(made, image));
    const sealed = { ...image, verity: sealOf(object) };
    let present = 0;
    let halfDone = 0;
    for (const outcome of outcomes) {
      if (outcome.paths().includes(`${path}.new`)) halfDone += 1;
      if (!(await storeOn(outcome).has(image.id))) continue;
      present += 1;
      expect(await storeOn(outcome).verifyFully(sealed)).toBeUndefined();
    }
    expect(present).toBeGreaterThan(0);
    expect(halfDone).toBeGreaterThan(0);
  });

  it('is committed again over the leftovers of a power cut, sealed or not', async () => {
    const disk = diskWithObject();
    for (const outcome of await everyCrash(disk, () => storeOn(disk).commit(made, image))) {
      outcome.put(made, object);
      const stored = await storeOn(outcome).commit(made, image);
      expect(outcome.paths()).toEqual([path]);
      expect(await storeOn(outcome).verifyFully(stored)).toBeUndefined();
    }
  });

  it('is refused and removed if the pull unit verified something else', async () => {
    const disk = diskWithObject(damagedByte());
    const refused = storeOn(disk).commit(made, image, sealOf(object));
    await expect(refused).rejects.toMatchObject({ code: 'image-build-failed' });
    await expect(refused).rejects.toThrow(/changed between its verification and its sealing/);
    expect(disk.paths()).toEqual([]);
  });

  it.each([
    ['image-build-failed', "ERROR: FS_IOC_ENABLE_VERITY failed on 'x': Text file busy"],
    ['no-space', "ERROR: FS_IOC_ENABLE_VERITY failed on 'x': No space left on device"],
  ])('is refused with %s when the kernel says: %s', async (code, words) => {
    const disk = diskWithObject();
    const failing = {
      lack: () => disk.lack(),
      measure: () => disk.measure(path),
      seal: () => Promise.reject(new Error(words)),
    };
    await expect(storeOn(disk, failing).commit(made, image)).rejects.toMatchObject({ code });
    expect(disk.paths()).toEqual([]);
  });

  it('is found without reading it when another file has replaced it', async () => {
    const disk = diskWithObject();
    const stored = await storeOn(disk).commit(made, image);
    expect(await storeOn(disk).verifyCheaply(stored)).toBeUndefined();
    disk.put(path, damagedByte(), root);
    expect((await storeOn(disk).verifyCheaply(stored))?.message).toMatch(/not sealed any more/);
    disk.put(path, damagedByte(), { ...root, seal: sealOf(damagedByte()) });
    expect((await storeOn(disk).verifyCheaply(stored))?.message).toMatch(/sealed with other content/);
  });

  it('with a changed byte on the medium cannot be read: image-corrupt', async () => {
    const disk = diskWithObject();
    const stored = await storeOn(disk).commit(made, image);
    disk.put(path, damagedByte(), { ...root, seal: sealOf(object) });
    const refusal = await storeOn(disk).verifyFully(stored);
    expect(refusal).toMatchObject({ code: 'image-corrupt' });
    expect(refusal?.message).toMatch(/cannot be read: EIO/);
  });

  it('is not reported as corrupt if the kernel gives no answer or no file descriptor', async () => {
    const disk = diskWithObject();
    const stored = await storeOn(disk).commit(made, image);
    const mute: Verity = {
      lack: () => Promise.resolve('no program'),
      seal: () => Promise.reject(new Error('no program')),
      measure: () => Promise.resolve({ kind: 'unknown', why: 'no program' }),
    };
    expect(await storeOn(disk, mute).verifyCheaply(stored)).toBeUndefined();
    disk.readAt = () => Promise.reject(Object.assign(new Error('EMFILE'), { errno: -24 }));
    await expect(storeOn(disk).verifyCheaply(stored)).rejects.toThrow('EMFILE');
  });

  it('that was stored without a seal is verified without one', async () => {
    const disk = diskWithObject();
    const stored = await imageStore(disk, directory, { verity: disk, seals: false }).commit(made, image);
    expect(stored).toEqual(image);
    expect(await disk.measure(path)).toEqual({ kind: 'open' });
    expect(await storeOn(disk).verifyFully(stored)).toBeUndefined();
  });
});
