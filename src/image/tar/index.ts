/**
 * Tar as wherry reads and writes it: entries, framing, pax records, the second reading and the
 * writer. Bytes may be hostile: every reader streams and enforces limits. It does not know the
 * layout of images.
 */
export { BatchedSink } from './batched-sink.ts';
export { drained } from './drained.ts';
export { withTarOf } from './gnu-tar.ts';
export { type ArchiveLimits, defaultArchiveLimits, malformed, quoted } from './limits.ts';
export { paxRecords, type Xattr } from './pax.ts';
export { SecondReading } from './second-reading.ts';
export { BLOCK, checksum, decodeBlock, isExtension, natural, type TarBlock } from './tar-block.ts';
export { type EntryType, type FramedEntry, padding, TarFraming, type TarPiece } from './tar-framing.ts';
export {
  type ByteSink,
  encodeHeaders,
  impliedDirectory,
  paxRecord,
  type TarEntry,
  TarWriter,
} from './tar-writer.ts';
export { encodeBlock } from './ustar-block.ts';
