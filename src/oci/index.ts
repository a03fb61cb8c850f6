/**
 * OCI and Docker images in and out, on the operator's side only: a device runs App Container Images and knows nothing of
 * these. Nothing is ever extracted onto the host's file system: layers become a tree in memory whose file contents lie in
 * one temporary file, and the tree becomes an archive, or one for each layer.
 */
export { fromOci, type FromOciOptions, type ConvertedImage } from '../operator/oci/index.ts';
export type { PlacedLayer } from '../operator/oci/index.ts';
export { toOci, type ToOciOptions, type WrittenOciImage } from '../operator/oci/index.ts';
export { parsePlatform } from '../operator/oci/index.ts';
