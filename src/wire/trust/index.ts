/**
 * Decides who may command what. Pure decisions over bytes, keys and marks: no I/O and no clock.
 *
 * This is the light door: messages, verdicts, keyrings. Two others load OpenPGP, which costs a
 * small board some megabytes and a second, so only processes that verify or sign use them:
 * `openpgp.ts` (keys and signatures) and `sign.ts` (the operator's side). The resident process
 * never imports them.
 */
export {
  type ConfidentialContent,
  decodeMessage,
  isEncrypted,
  maxRecipients,
  maxSecretBytes,
  secretDigest,
  type SecretValue,
} from './confidential.ts';
export { claimedVersion, decodeDesiredState, encodeDesiredState } from './desired-state-codec.ts';
export {
  type Activation,
  type MaintenanceWindow,
  type DeployPolicy,
  type DesiredImage,
  type DesiredPod,
  type DesiredSecret,
  type DesiredState,
  groupOf,
  shareOf,
  type Target,
} from './desired-state.ts';
export { decodeDraft, decodeEnvelope, encodeDraft, encodeEnvelope, maxEnvelopeBytes } from './envelope.ts';
export {
  clockSkewSeconds,
  deviceTime,
  type DeviceTime,
  judgeDesiredState,
  type Judgement,
  markOf,
  timeFloor,
  type TrustedVersion,
} from './judge.ts';
export { type ImageKey, keysForImage } from './keyring.ts';
export { decodeLogRequest, encodeLogRequest, logLimits, type LogRequest } from './log-request.ts';
export type { Role, RootDocument, Signers } from './root.ts';
export { claimedFleet, claimedRootVersion, decodeRoot, encodeRoot } from './root-codec.ts';
export { type DeployEra, eraAfter, signersForImage, signersOf, trustedInEra } from './root-judge.ts';
export { podUuid } from './pod-uuid.ts';
export { isInShare, placeOnRing, ringPlaces, type Share } from './share.ts';
export { alreadyVerified, type VerifiedPayload } from './verified-payload.ts';
