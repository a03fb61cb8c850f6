/**
 * Who may command what. Pure decisions over bytes, keys and marks: no I/O, no clock of its own.
 *
 * This is the light door: messages, verdicts, keyrings. Two others load OpenPGP, which costs a small board some
 * megabytes and a second, so only processes that verify or sign pass them: `openpgp.ts` (keys and signatures) and
 * `sign.ts` (the operator's side). The resident process never imports them.
 */
export type * from './desired-state.ts';
export { decodeDesiredState, encodeDesiredState } from './desired-state-codec.ts';
export {
  decodeEnvelope,
  encodeEnvelope,
  maxEnvelopeBytes,
  maxSignatureBytes,
  type Envelope,
} from './envelope.ts';
export {
  deviceTime,
  judgeDesiredState,
  markOf,
  timeFloor,
  type DeviceTime,
  type Judgement,
  type TrustedVersion,
  type Verdict,
} from './judge.ts';
export { alreadyVerified, type VerifiedPayload } from './verified-payload.ts';
export { podUuid } from './pod-uuid.ts';
export { keysForImage, type ImageKey } from './keyring.ts';
