/**
 * The App Container specification 0.8.11: names, versions, labels, quantities, isolators, image and pod manifests. Bytes or
 * text in, checked values or a refusal out; no I/O, no clock. It says what a document means, not whether a device can do it.
 */
export { isTimestamp, isWebAddress } from './annotations.ts';
export { maxAccountId } from './app.ts';
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
} from './dependencies.ts';
export { SchemaFault } from './fault.ts';
export {
  isAcIdentifier,
  isAcName,
  isImageId,
  parseAcIdentifier,
  parseAcName,
  parseImageId,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from './identifiers.ts';
export { imageManifestLimits, parseImageManifest, serializeImageManifest } from './image-manifest.ts';
export { parseIsolator, parseIsolators } from './isolator-list.ts';
export { defaultCapabilities, type IsolatorScope, type TypedIsolator } from './isolators.ts';
export { type JsonLimits, parseJson } from './json.ts';
export { labelValue } from './labels.ts';
export { type ImageName, parseNameString } from './name-string.ts';
export { compatibleArchitectures, type Machine, machineArchitecture, runsOn } from './platform.ts';
export { parsePodManifest, podManifestLimits, serializePodManifest } from './pod-manifest.ts';
export { parseQuantity, wholeUnits } from './quantity.ts';
export { parseMountPointString, parseVolumeString } from './string-forms.ts';
export type {
  AcIdentifier,
  AcName,
  App,
  Dependency,
  ImageId,
  ImageManifest,
  Isolator,
  JsonValue,
  NameValue,
  PodApp,
  PodManifest,
  Port,
  UserMap,
  Volume,
} from './types.ts';
export { parseUuid } from './uuid.ts';
export { isSemVer, specVersion } from './version.ts';
