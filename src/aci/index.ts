/**
 * Archives of images (aci.md): reading. Everything here may be fed hostile bytes: it streams, holds limits, writes
 * nothing but to the stream it is given, and knows neither network, store nor trust. The builder and the renderer are apart, in
 * builder.ts and render.ts, because devices only read; so are the headers of programs, in elf.ts, which wherryd reads without the rest.
 */
export { type Compression } from './decompress.ts';
export { type ArchiveListing, inspectArchive } from './inspect.ts';
export { type ArchiveLimits, defaultArchiveLimits, quoted } from './limits.ts';
export { type ArchiveSummary, readArchive, type ReadOptions } from './read-archive.ts';
export { type FramedEntry } from './tar-framing.ts';
export { type ArchiveEntry, walkPlainTar, walkTar } from './walk-archive.ts';
