/**
 * The door to OpenPGP for processes that verify: the examining unit, the pull unit, and `wherry`.
 * It loads the `openpgp` library; see `index.ts` for why it is separate. Nothing here reads files,
 * opens sockets or reads a clock.
 */
export { requireSignature, verifyEnvelope } from './command-signature.ts';
export { decryptMessage } from './decrypt.ts';
export { generateDeviceKey } from './device-key.ts';
export { examineMessage, type Examined, type ExamineContext, type ExaminedSecret } from './examine.ts';
export { examineLogRequest, type LogContext } from './examine-log-request.ts';
export { examineRoot, type ExaminedRoot, type RootContext } from './examine-root.ts';
export { fingerprintOf, formatFingerprint } from './fingerprint.ts';
export { signatureBlocks, signatureVerifier } from './image-signature.ts';
export { readKeys, type KeyVerdict, type UnusableKey, type UsableKey } from './keys.ts';
export { reviewKeys, revokedBy, whyNotKeys, type KeyReview } from './review.ts';
export { reviewSignatures, type SignatureReview } from './signed-by.ts';
export type { SignatureVerifier } from './signature.ts';
