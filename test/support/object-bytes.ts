/**
 * Bytes that are accepted as an EROFS object of `blocks` blocks of 4 KiB: a superblock and zeros.
 */
export function objectBytes(blocks: number): Buffer {
  const bytes = Buffer.alloc(blocks * 4096);
  bytes.writeUInt32LE(0xe0f5e1e2, 1024);
  bytes.writeUInt8(12, 1024 + 12);
  bytes.writeUInt32LE(blocks, 1024 + 36);
  return bytes;
}
