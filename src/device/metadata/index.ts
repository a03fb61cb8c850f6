/**
 * The metadata service of pods (ace.md#app-container-metadata-service). wherryd writes one document
 * for each pod when it is staged; a unit of its own answers from these (metadata-unit.ts), also
 * where wherryd does not run.
 */
export { metadataDocument, type PodMetadata, readMetadata } from './document.ts';
export { metadataUnit } from './metadata-unit.ts';
export { wantsMetadata } from './setting.ts';
export { metadataKeyBytes, metadataPort, metadataUrl } from './token.ts';
