/** What is checked of an image object without reading all of it. */
export interface ErofsSuperblock {
  readonly blockBytes: number;
  /** The size of the file system, in bytes. */
  readonly sizeBytes: number;
}

/** The offset of the superblock, and the number of bytes to read for it. */
export const superblockOffset = 1024;
export const superblockBytes = 128;

const magic = 0xe0f5e1e2;
/**
 * The only incompatible feature that `mkfs.erofs` sets in wherry's objects (LZ4_0PADDING, with
 * lz4). An object that requires more of the kernel's parser was not made by it.
 */
const expectedFeatures = 0x1;

/**
 * Reads an EROFS superblock (Linux, fs/erofs/erofs_fs.h, `struct erofs_super_block`).
 *
 * @param bytes the `superblockBytes` bytes at `superblockOffset`
 * @returns the superblock, or the fault in a few words
 */
export function readSuperblock(bytes: Uint8Array): ErofsSuperblock | string {
  if (bytes.length < superblockBytes) return 'too short for a superblock';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) return 'no EROFS magic';
  const blockBits = view.getUint8(12);
  if (blockBits < 9 || blockBits > 16) return `a block size of 2^${blockBits} bytes`;
  const blocks = view.getUint32(36, true);
  if (blocks === 0) return 'no blocks';
  if ((view.getUint32(80, true) & ~expectedFeatures) !== 0) return 'features that no image object has';
  if (view.getUint16(86, true) !== 0) return 'data on another device';
  return { blockBytes: 2 ** blockBits, sizeBytes: blocks * 2 ** blockBits };
}
