/**
 * The App Container specification 0.8.11: names, versions, labels, quantities, isolators, image and
 * pod manifests. Bytes or text in, checked values or a refusal out; no I/O, no clock. It interprets
 * a document and does not decide whether a device supports it.
 */
export { type Account, type AccountFacts, resolveAccount } from './account.ts';
export { isTimestamp } from './annotations.ts';
export { maxAccountId } from './app.ts';
export {
  dependencyLimits,
  layersOf,
  type ListedImage,
  needsMerging,
  renderSteps,
  resolveDependencies,
} from './dependencies.ts';
export { SchemaFault } from './fault.ts';
export {
  isAcIdentifier,
  isAcName,
  parseAcIdentifier,
  parseAcName,
  parseImageId,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from './identifiers.ts';
export { parseImageManifest, serializeImageManifest } from './image-manifest.ts';
export { parseIsolators } from './isolator-list.ts';
export { defaultCapabilities, type TypedIsolator } from './isolators.ts';
export { parseJson } from './json.ts';
export { labelValue } from './labels.ts';
export { isOfRuntime, isWithin, mountProblem } from './mount-place.ts';
export { type ImageName, parseNameString } from './name-string.ts';
export { compatibleArchitectures, machineArchitecture } from './platform.ts';
export { parsePodManifest, serializePodManifest } from './pod-manifest.ts';
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
  Volume,
} from './types.ts';
export { parseUuid } from './uuid.ts';
