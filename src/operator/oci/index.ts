/**
 * OCI and Docker images in and out, on the operator's side only: a device runs only App Container
 * Images. Nothing is ever extracted onto the host's file system: layers become a tree in memory
 * whose file contents are in one temporary file, and the tree becomes an archive, or one for each
 * layer.
 */
export { type ConvertedImage, fromOci, type FromOciOptions } from './from-oci.ts';
export type { PlacedLayer } from './layer-files.ts';
export { entrypointLength } from './runtime.ts';
export { parsePlatform } from './platform.ts';
export { toOci } from './to-oci.ts';
