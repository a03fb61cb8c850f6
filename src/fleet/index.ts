/**
 * The operator's side: a fleet as a directory, commands composed, signed, published and followed to their end, and the servers for
 * trying things out. Files, sockets and processes are used here, but nothing is printed and nothing of a device is touched.
 */
export { startEmbeddedBroker, type EmbeddedBroker } from '../operator/dev/index.ts';
export { desiredImage } from '../operator/fleet/index.ts';
export {
  isOutcome,
  progressOf,
  type DeviceView,
  type Outcome,
  type Progress,
} from '../operator/fleet/index.ts';
export { FleetDirectory, type KeyRole, type PublishedVersion } from '../operator/fleet/index.ts';
export { FleetLink } from '../operator/fleet/index.ts';
export { startImageServer, type Access, type ImageServer } from '../operator/dev/index.ts';
export { imageFiles, readImageFile, requireSignature, type OfferedImage } from '../operator/fleet/index.ts';
export {
  imagesOf,
  ImageShelf,
  reifyPod,
  simplePod,
  type ReifiedPod,
  type SimpleLimits,
} from '../operator/fleet/index.ts';
export { provisionFiles } from '../operator/fleet/index.ts';
export { earlierWish, publishWish, signDesired, type Published, type Wish } from '../operator/fleet/index.ts';
