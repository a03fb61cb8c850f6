import { type DesiredState, markOf } from '../../wire/trust/index.ts';
import type { DeviceState } from './state.ts';

/**
 * The state once `desired` is trusted and waits to be carried out. Both are saved in one write: after a power cut a device
 * either knows nothing of the version or carries it out.
 *
 * A deployment that is still pending here was superseded and could not put the previous set back. That stays a duty of the
 * new one: its attempts do not begin at 0, so it does so if it fails (see `PendingDeployment`).
 */
export function acceptDesired(state: DeviceState, desired: DesiredState, payloadSha256: string): DeviceState {
  const attempts = Math.min(1, state.pending?.attempts ?? 0);
  return {
    ...state,
    trusted: markOf(desired, payloadSha256, state.trusted),
    pending: { desired, attempts },
  };
}
