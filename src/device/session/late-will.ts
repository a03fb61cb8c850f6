import { decodePresence, mustReassert, type Presence } from '../../wire/report/index.ts';

/**
 * The last will of an earlier connection, if `payload` is one that the broker published after `own`
 * began: the retained message must then be corrected.
 */
export function lateWill(own: Presence, payload: Uint8Array): Presence | undefined {
  let retained: Presence;
  try {
    retained = decodePresence(payload);
  } catch {
    return undefined; // Not a message of wherry; the next own message replaces it.
  }
  return mustReassert(own, retained) ? retained : undefined;
}
