/**
 * Archives of images (aci.md): decompress, walk, check, list. Everything here may be fed hostile
 * bytes: it streams, enforces limits, writes only to the given stream, and uses neither network,
 * store nor keys.
 */
export { AccountCollector } from './account-files.ts';
export { ArchiveTree } from './archive-tree.ts';
export { asBuffer, compressionOf, readHead, replay, undone } from './decompress.ts';
export { readImpliedDirectories } from './implied-directories.ts';
export { type ArchiveListing, inspectArchive } from './inspect.ts';
export { type ArchiveSummary, readArchive } from './read-archive.ts';
export { checkEntry, walkPlainTar, walkTar } from './walk-archive.ts';
