/**
 * Building images on a workstation: from a directory, from a build file, from other images.
 */
export { buildFromFile } from './build-file.ts';
export { buildAci, type BuiltArchive, writeAci } from './builder.ts';
export { accountNote } from './missing-account.ts';
export { programNote } from './missing-program.ts';
export { readInput } from './read-input.ts';
export { statImage } from './image-path.ts';
export { isTemporaryName, withScratch, type WholeFile, writeFiles, writeOutput } from './output-file.ts';
export { patchImage } from './patch.ts';
export { renderImage } from './render.ts';
export { readXattrs } from './tree-xattrs.ts';
