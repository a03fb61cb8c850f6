declare const verified: unique symbol;

/**
 * Bytes of a desired state or of a root of trust whose signature was verified, or that were made
 * here. Only these are decoded: no unsigned bytes reach the decoder (C26).
 */
export type VerifiedPayload = Uint8Array & { readonly [verified]: true };

/**
 * Marks bytes as verified that were verified elsewhere or at another time. Each use is a decision
 * about trust, so each origin is named here, and a test lists the uses.
 *
 * @param origin `examining-unit`: the unit has verified the signature, and wherryd that the payload
 *   is part of the message. `saved-state`: it was verified before it was saved, in a file that only
 *   root writes. `own-history`: a file of the operator, which was signed here or is passed on to be
 *   signed; devices verify what comes of it. `installed-root`: the administrator of this machine
 *   has installed the root or views it.
 */
export function alreadyVerified(
  payload: Uint8Array,
  origin: 'examining-unit' | 'saved-state' | 'own-history' | 'installed-root',
): VerifiedPayload;
export function alreadyVerified(payload: Uint8Array): Uint8Array {
  return payload;
}
