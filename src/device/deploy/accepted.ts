import { type DesiredState, eraAfter, groupOf, markOf, type RootDocument } from '../../wire/trust/index.ts';
import type { DeviceState } from './state.ts';
import { commands, markOfTarget, newerMark, withMark } from './targets.ts';

/** What a state becomes by is examined with: the era, and the groups of the device. */
export interface Acceptance {
  /**
   * In which era of versions it was examined: of the root that was trusted then, not of one that
   * came since.
   */
  readonly era?: number;
  /** The groups of the configuration. */
  readonly groups: readonly string[];
}

/** The state once `desired` is trusted. It is not carried out because of that. */
export function trustDesired(
  state: DeviceState,
  desired: DesiredState,
  payloadSha256: string,
  { era, groups }: Acceptance,
): DeviceState {
  const group = groupOf(desired.target);
  const { withdrawn: _before, ...known } = markOfTarget(state, group);
  const mark = markOf(desired, payloadSha256, era === undefined ? known : { ...known, era });
  return withMark(state, group, desired.withdrawn === true ? { ...mark, withdrawn: true } : mark, groups);
}

/**
 * The state once `desired`, which is for a share of the group without this device, is trusted. What
 * the device has taken up of the group goes on to command it. Where there is none, the group has no
 * command for it, and the next target counts.
 *
 * @returns `state` itself when all of that is so already
 */
export function standAside(
  state: DeviceState,
  desired: DesiredState,
  payloadSha256: string,
  acceptance: Acceptance,
): DeviceState {
  const group = groupOf(desired.target);
  const before = markOfTarget(state, group);
  const goesOn = state.follows === group && commands(state, group);
  if (before.payloadSha256 === payloadSha256 && goesOn === (before.withdrawn !== true)) return state;
  const trusting = trustDesired(state, desired, payloadSha256, acceptance);
  if (goesOn) return trusting;
  return withMark(trusting, group, { ...markOfTarget(trusting, group), withdrawn: true }, acceptance.groups);
}

/**
 * The state once `desired` is trusted and waits to be carried out. Both are saved in one write:
 * after a power cut a device either knows nothing of the version or carries it out.
 *
 * A deployment that is still pending here was superseded and could not put the previous set back.
 * That stays a duty of the new one: its attempts do not begin at 0, so it does so if it fails (see
 * `PendingDeployment`).
 *
 * @param bootId of this boot; saved only for an activation that waits for another one
 */
export function acceptDesired(
  state: DeviceState,
  desired: DesiredState,
  payloadSha256: string,
  acceptance: Acceptance,
  bootId?: string,
): DeviceState {
  const group = groupOf(desired.target);
  const { follows: _before, ...trusting } = trustDesired(state, desired, payloadSha256, acceptance);
  const attempts = Math.min(1, state.pending?.attempts ?? 0);
  return {
    ...trusting,
    ...(group === undefined ? {} : { follows: group }),
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
 * `next` with the newer root and the newer marks of both: whoever computed it may not have known
 * what was trusted meanwhile.
 */
export function keepNewerTrust(next: DeviceState, saved: DeviceState): DeviceState {
  let kept = { ...keepNewerRoot(next, saved), trusted: newerMark(next.trusted, saved.trusted) };
  for (const { name, ...mark } of saved.groups ?? []) {
    const known = next.groups?.some((one) => one.name === name) === true;
    const newer = known ? newerMark(markOfTarget(next, name), mark) : mark;
    kept = { ...kept, groups: withMark(kept, name, newer, []).groups ?? [] };
  }
  return kept;
}

function keepNewerRoot(next: DeviceState, saved: DeviceState): DeviceState {
  if (saved.root === undefined) return next;
  if (next.root !== undefined && next.root.document.version >= saved.root.document.version) return next;
  return { ...next, root: saved.root };
}
