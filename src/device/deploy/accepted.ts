import { type DesiredState, eraAfter, markOf, type RootDocument } from '../../wire/trust/index.ts';
import type { DeviceState } from './state.ts';

/**
 * The state once `desired` is trusted and waits to be carried out. Both are saved in one write:
 * after a power cut a device either knows nothing of the version or carries it out.
 *
 * A deployment that is still pending here was superseded and could not put the previous set back.
 * That stays a duty of the new one: its attempts do not begin at 0, so it does so if it fails (see
 * `PendingDeployment`).
 *
 * @param era in which it was examined: of the root that was trusted then, not of one that came
 *   since
 * @param bootId of this boot; saved only for an activation that waits for another one
 */
export function acceptDesired(
  state: DeviceState,
  desired: DesiredState,
  payloadSha256: string,
  era?: number,
  bootId?: string,
): DeviceState {
  const before = era === undefined ? state.trusted : { ...state.trusted, era };
  const attempts = Math.min(1, state.pending?.attempts ?? 0);
  return {
    ...state,
    trusted: markOf(desired, payloadSha256, before),
    pending: { desired, attempts, ...(bootId === undefined ? {} : { bootId }) },
  };
}

/**
 * The state once `root`, which follows the one that is trusted or was put on the device, is
 * trusted.
 */
export function acceptRoot(state: DeviceState, root: RootDocument): DeviceState {
  const era = eraAfter(root, state.root);
  return { ...state, root: { document: root, ...(era === undefined ? {} : { era }) } };
}

/**
 * `next` with the newer root of both: whoever computed it may not have known that a root came
 * meanwhile.
 */
export function keepNewerRoot(next: DeviceState, saved: DeviceState): DeviceState {
  if (saved.root === undefined) return next;
  if (next.root !== undefined && next.root.document.version >= saved.root.document.version) return next;
  return { ...next, root: saved.root };
}
