import type { Presence } from './report.ts';

/**
 * The presence that an observer assumes after one more message on `live`. A last will may arrive
 * long after the device is back (the broker notices a dead connection only after 1.5 keepalives),
 * so a `down` counts only for the same connection that is assumed to be up.
 */
export function foldPresence(known: Presence | undefined, next: Presence): Presence {
  if (known === undefined) return next;
  if (known.bootId === next.bootId) return next.connection < known.connection ? known : next;
  // Boot IDs have no order. A device announces a new boot with `up`; a `down` of another boot is an
  // old will.
  return next.up ? next : known;
}

/**
 * Whether the retained `live` message now contradicts the device that reads it: some older will has
 * replaced it, and later subscribers would receive that the device is away. Never true for another
 * `up`, so that two devices that wrongly share a name do not answer each other forever.
 */
export function mustReassert(own: Presence, retained: Presence): boolean {
  return !retained.up && (retained.bootId !== own.bootId || retained.connection < own.connection);
}
