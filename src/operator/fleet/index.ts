/**
 * A fleet from a workstation: a fleet directory, composes, signs, publishes and follows commands.
 * It uses files and sockets, prints nothing, and uses no code of the device.
 */
export { type ActivationFlags, readActivation } from './activation.ts';
export { hearLogs, signLogRequest } from './ask-logs.ts';
export { noReportOf } from './broker-words.ts';
export { compareWithBroker, type BrokerComparison } from './compare-with-broker.ts';
export { compareMemory, mustRepeat } from './broker-memory.ts';
export { desiredImage, nextVersion } from './compose.ts';
export { requireDeviceKey } from './device-key-file.ts';
export { type DeviceView, isOutcome, type Outcome, type Progress, progressOf } from './device-view.ts';
export { type Authority, renewedCertificate } from './device-certificate.ts';
export { enoughSignatures, requireEnough } from './enough-signatures.ts';
export { enrolmentBundle, type EnrolmentRequest } from './enrolment.ts';
export { certificateNotes } from './given-credentials.ts';
export { isDatabase, requireBrokerUrl, requireImagesUrl } from './fleet-config.ts';
export { FleetDirectory } from './fleet-directory.ts';
export { type KeyRole, replaceFile } from './fleet-files.ts';
export { FleetLink } from './fleet-link.ts';
export {
  type Counts,
  type DeviceFilter,
  type DeviceLine,
  deviceLine,
  type FleetSummary,
  isWanted,
  summarise,
  versionInWords,
} from './fleet-summary.ts';
export { notForImages } from './not-for-images.ts';
export { keyNote, watchingKeys } from './private-keys.ts';
export {
  imageFiles,
  type OfferedImage,
  offerImages,
  readImageFile,
  requireSignature,
} from './offered-image.ts';
export { OfferedImages, imagesOf, type ReifiedPod, reifyPod, simplePod } from './pod-spec.ts';
export { previewDeploy } from './preview.ts';
export { provisionFiles } from './provision.ts';
export {
  contentAgain,
  earlierContent,
  onEachMember,
  type Published,
  publishEnvelope,
  makeCommand,
  publishCommand,
  signContent,
  versionsForAll,
} from './publish.ts';
export {
  changeRoot,
  newDraft,
  readDraft,
  type RoleChange,
  type RoleKey,
  type RootDraft,
  signingStates,
  writeDraft,
} from './root-drafts.ts';
export { isMember, targetName, type TargetName } from './target-name.ts';
export { messageFor, namedSecrets, readSecrets, requireDeviceKeys, requireNamedValues } from './secrets.ts';
export { forecastShare, isAddressed, readShare, shareInWords, type ShareFlags } from './share.ts';
export {
  addSignature,
  desiredOf,
  type DesiredContent,
  type Sign,
  signatureOf,
  signerOf,
} from './sign-content.ts';
export { type ChainedRoot, rootChain } from './root-chain.ts';
