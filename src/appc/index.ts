/**
 * The App Container specification 0.8.11: names, versions, labels, quantities, isolators, image and pod manifests. Bytes or
 * text in, checked values or a refusal out; no I/O, no clock. It says what a document means, not whether a device can do it.
 */
export type * from '../image/appc/types.ts';
export { isTimestamp, isWebAddress } from '../image/appc/index.ts';
export {
  dependencyLimits,
  layersOf,
  type ListedImage,
  needsMerging,
  renderOrder,
  type RenderStep,
  renderSteps,
  resolveDependencies,
  type ResolvedImage,
} from '../image/appc/index.ts';
export {
  isAcIdentifier,
  isAcName,
  isImageId,
  parseAcIdentifier,
  parseAcName,
  parseImageId,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from '../image/appc/index.ts';
export { imageManifestLimits, parseImageManifest, serializeImageManifest } from '../image/appc/index.ts';
export { SchemaFault } from '../image/appc/index.ts';
export { parseJson, type JsonLimits } from '../image/appc/index.ts';
export { parseIsolator, parseIsolators } from '../image/appc/index.ts';
export { defaultCapabilities, type IsolatorScope, type TypedIsolator } from '../image/appc/index.ts';
export { labelValue } from '../image/appc/index.ts';
export { compatibleArchitectures, machineArchitecture, runsOn, type Machine } from '../image/appc/index.ts';
export { parseNameString, type ImageName } from '../image/appc/index.ts';
export { parsePodManifest, podManifestLimits, serializePodManifest } from '../image/appc/index.ts';
export { parseQuantity, wholeUnits } from '../image/appc/index.ts';
export { parseMountPointString, parseVolumeString } from '../image/appc/index.ts';
export { parseUuid } from '../image/appc/index.ts';
export { isSemVer, specVersion } from '../image/appc/index.ts';
