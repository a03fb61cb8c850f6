import { createHash, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseImageId } from '../../../src/image/appc/index.ts';
import { imageStore, nodeDisk, stateSlots, writeDurable } from '../../../src/device/store/index.ts';
import { objectBytes } from '../../support/object-bytes.ts';

let directory = '';
const disk = nodeDisk();
const at = (name: string): string => join(directory, name);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Bytes that the kernel read from a disk for this process (proc_pid_io(5)). */
const readFromMedium = (): number =>
  Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);

beforeEach(() => {
  // /tmp may be memory.
  directory = mkdtempSync('/var/tmp/wherry-disk-');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the disk of the machine', () => {
  it('reads back what it wrote durably and leaves no temporary file', async () => {
    await writeDurable(disk, at('file'), Buffer.from('first'));
    await writeDurable(disk, at('file'), Buffer.from('second'));
    expect(String(await disk.read(at('file'), 100))).toBe('second');
    expect(String(await disk.readAt(at('file'), 3, 100))).toBe('ond');
    expect(await disk.list(directory)).toEqual(['file']);
  });

  it('[C295] makes missing parents of a directory so that its owner can reach it', async () => {
    const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    await disk.makeDirectory(at('run/pull/job'), own);
    const modes = ['run', 'run/pull', 'run/pull/job'].map((name) => statSync(at(name)).mode & 0o777);
    expect(modes).toEqual([0o711, 0o711, 0o700]);
  });

  it('distinguishes absent from unreadable', async () => {
    expect(await disk.read(at('nothing'), 100)).toBeUndefined();
    expect(await disk.look(at('nothing'))).toBeUndefined();
    expect(await disk.list(at('nothing'))).toEqual([]);
    await disk.remove(at('nothing'));
    await expect(disk.read(directory, 100)).rejects.toThrow(/not a regular file/);
  });

  it('reads nothing that is larger than expected, linked elsewhere, or not a file', async () => {
    writeFileSync(at('large'), 'x'.repeat(101));
    await expect(disk.read(at('large'), 100)).rejects.toThrow(/larger than 100/);
    symlinkSync('/etc/passwd', at('link'));
    await expect(disk.read(at('link'), 10_000_000)).rejects.toThrow();
    execFileSync('mkfifo', [at('pipe')]);
    await expect(disk.read(at('pipe'), 100)).rejects.toThrow(/not a regular file/);
  });

  it('puts a file in the place of a directory or a link, and never writes through the link', async () => {
    writeFileSync(at('elsewhere'), 'kept');
    for (const put of [
      () => mkdirSync(at('place/below'), { recursive: true }),
      () => symlinkSync(at('elsewhere'), at('place')),
    ]) {
      put();
      await disk.write(at('place'), Buffer.from('written'));
      expect(readFileSync(at('place'), 'utf8')).toBe('written');
      await disk.remove(at('place'));
      put();
      await writeDurable(disk, at('place'), Buffer.from('renamed'));
      expect(readFileSync(at('place'), 'utf8')).toBe('renamed');
      await disk.remove(at('place'));
    }
    expect(readFileSync(at('elsewhere'), 'utf8')).toBe('kept');
  });

  it('measures a directory with all its content', async () => {
    mkdirSync(at('sub/deep'), { recursive: true });
    writeFileSync(at('sub/deep/file'), Buffer.alloc(50_000, 1));
    const entry = await disk.look(at('sub'));
    expect(entry?.kind).toBe('directory');
    expect(entry?.allocatedBytes).toBeGreaterThanOrEqual(50_000);
    await disk.remove(at('sub'));
    expect(await disk.list(directory)).toEqual([]);
  });

  it('hashes the content of the medium, and leaves none of it in the page cache', async () => {
    const bytes = randomBytes(4 << 20);
    await writeDurable(disk, at('file'), bytes);
    const seen: number[] = [];
    const before = readFromMedium();
    expect(await disk.sha256OnMedium(at('file'), (count) => seen.push(count))).toBe(sha256(bytes));
    const after = readFromMedium();
    expect(after - before).toBeGreaterThanOrEqual(bytes.length);
    expect(seen.reduce((sum, count) => sum + count)).toBe(bytes.length);
    // The next reader through the page cache must fetch all of it again.
    expect(await disk.sha256(at('file'))).toBe(sha256(bytes));
    expect(readFromMedium() - after).toBeGreaterThanOrEqual(bytes.length);
  });

  it('hashes by ordinary reads if the file system has no direct ones', async () => {
    expect(await disk.sha256OnMedium('/proc/version')).toBe(sha256(readFileSync('/proc/version')));
  });

  it('reports the free space', async () => {
    expect(await disk.freeBytes(directory)).toBeGreaterThan(0);
  });

  it('keeps the state of a device', async () => {
    await stateSlots(disk, directory).write(Buffer.from('state'));
    expect((await stateSlots(disk, directory).read())?.body).toEqual(Uint8Array.from(Buffer.from('state')));
    expect(await disk.list(directory)).toEqual(['state-a.cbor']);
  });
});

describe('an image object on the disk of the machine', () => {
  const bytes = objectBytes(2);
  const image = {
    id: parseImageId(`sha512-${'0'.repeat(128)}`),
    name: 'example.com/app',
    sizeBytes: bytes.length,
    sha256: sha256(bytes),
    manifest: new Uint8Array(),
  };
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const store = (): ReturnType<typeof imageStore> => imageStore(disk, at('images'), { owner });
  beforeEach(() => {
    mkdirSync(at('images'));
    mkdirSync(at('job'));
    writeFileSync(at('job/object.erofs'), bytes);
  });

  it('is committed and verified by the content of the medium [C72]', async () => {
    await store().commit(at('job/object.erofs'), image);
    const before = readFromMedium();
    expect(await store().verifyFully(image)).toBeUndefined();
    expect(readFromMedium() - before).toBeGreaterThanOrEqual(bytes.length);
    expect((await disk.look(store().pathOf(image.id)))?.mode).toBe(0o444);
    chmodSync(store().pathOf(image.id), 0o644);
    expect(await store().verifyCheaply(image)).toMatchObject({ code: 'image-corrupt' });
  });

  it('is refused as a symbolic link, so that no other file becomes root’s', async () => {
    writeFileSync(at('victim'), bytes, { mode: 0o600 });
    rmSync(at('job/object.erofs'));
    symlinkSync(at('victim'), at('job/object.erofs'));
    const refused = store().commit(at('job/object.erofs'), image);
    await expect(refused).rejects.toMatchObject({ code: 'image-build-failed' });
    expect((await disk.look(at('victim')))?.mode).toBe(0o600);
    expect(readFileSync(at('victim')).equals(bytes)).toBe(true);
    expect(await disk.list(at('images'))).toEqual([]);
  });

  it('is refused with a second hard link, which could change it later', async () => {
    linkSync(at('job/object.erofs'), at('job/other'));
    await expect(store().commit(at('job/object.erofs'), image)).rejects.toThrow(/a second name/);
    expect((await disk.look(at('job/other')))?.mode).not.toBe(0o444);
  });

  it('is refused as a directory', async () => {
    rmSync(at('job/object.erofs'));
    mkdirSync(at('job/object.erofs'));
    await expect(store().commit(at('job/object.erofs'), image)).rejects.toThrow(/not a regular file/);
    expect(await disk.list(at('images'))).toEqual([]);
  });
});
