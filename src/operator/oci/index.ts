/**
 * OCI and Docker images in and out, on the operator's side only: a device runs App Container Images
 * and knows nothing of these. Nothing is ever extracted onto the host's file system: layers become
 * a tree in memory whose file contents lie in one temporary file, and the tree becomes an archive,
 * or one for each layer.
 */
export { type ConvertedImage, fromOci, type FromOciOptions } from './from-oci.ts';
export type { PlacedLayer } from './layer-files.ts';
export { entrypointLength } from './runtime.ts';
export { parsePlatform } from './platform.ts';
export { toOci } from './to-oci.ts';
