/**
 * The metadata service of pods (ace.md#app-container-metadata-service). wherryd writes a document
 * for each such pod when it is staged. A unit of its own answers from these documents
 * (metadata-unit.ts), even while wherryd does not run.
 */
export { metadataDocument, type PodMetadata, readMetadata } from './document.ts';
export { metadataUnit } from './metadata-unit.ts';
export { wantsMetadata } from './setting.ts';
export { metadataKeyBytes, metadataUrl } from './token.ts';
