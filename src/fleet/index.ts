/**
 * The operator's side: a fleet as a directory, commands composed, signed, published and followed to their end, and the servers for
 * trying things out. Files, sockets and processes are used here, but nothing is printed and nothing of a device is touched.
 */
export { startEmbeddedBroker, type EmbeddedBroker } from './embedded-broker.ts';
export { desiredImage } from './compose.ts';
export { isOutcome, progressOf, type DeviceView, type Outcome, type Progress } from './device-view.ts';
export { FleetDirectory, type KeyRole, type PublishedVersion } from './fleet-directory.ts';
export { FleetLink } from './fleet-link.ts';
export { startImageServer, type Access, type ImageServer } from './image-server.ts';
export { imageFiles, readImageFile, requireSignature, type OfferedImage } from './offered-image.ts';
export { imagesOf, ImageShelf, reifyPod, simplePod, type ReifiedPod, type SimpleLimits } from './pod-spec.ts';
export { previewDeploy, type DeployPreview } from './preview.ts';
export { provisionFiles } from './provision.ts';
export { earlierWish, publishWish, signDesired, type Published, type Wish } from './publish.ts';
