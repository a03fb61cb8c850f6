declare const verified: unique symbol;

/**
 * Bytes of a desired state or of a root of trust whose signature was verified, or that were made
 * here. Only these are decoded: nothing that a stranger can write reaches the decoder (C26).
 */
export type VerifiedPayload = Uint8Array & { readonly [verified]: true };

/**
 * Calls bytes verified that were verified by somebody else or at another time. Each use is a
 * decision about trust, so each place is named here, and a test lists them.
 *
 * @param origin `examining-unit`: the unit has verified the signature, and wherryd that the payload
 *   is part of the message. `saved-state`: it was verified before it was saved, in a file that only
 *   root writes. `own-history`: a file of the operator's, of what was signed here or is handed
 *   around to be signed; it is looked at, and devices verify it. `installed-root`: the
 *   administrator of this machine has put the root there or looks at it.
 */
export function alreadyVerified(
  payload: Uint8Array,
  origin: 'examining-unit' | 'saved-state' | 'own-history' | 'installed-root',
): VerifiedPayload;
export function alreadyVerified(payload: Uint8Array): Uint8Array {
  return payload;
}
