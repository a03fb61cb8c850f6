/**
 * Archives of images (aci.md): reading. Everything here may be fed hostile bytes: it streams, holds limits, writes
 * nothing but to the stream it is given, and knows neither network, store nor trust. The builder and the renderer are apart, in
 * builder.ts and render.ts, because devices only read; so are the headers of programs, in elf.ts, which wherryd reads without the rest.
 */
export type { Compression } from '../image/aci/index.ts';
export { type ArchiveListing, inspectArchive } from '../image/aci/index.ts';
export { type ArchiveLimits, defaultArchiveLimits, quoted } from '../image/tar/index.ts';
export { type ArchiveSummary, readArchive, type ReadOptions } from '../image/aci/index.ts';
export type { FramedEntry } from '../image/tar/index.ts';
export { type ArchiveEntry, walkTar } from '../image/aci/index.ts';
