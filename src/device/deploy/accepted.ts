import { type DesiredState, eraAfter, groupOf, markOf, type RootDocument } from '../../wire/trust/index.ts';
import type { DeviceState } from './state.ts';
import { commands, markOfTarget, newerMark, withMark } from './targets.ts';

/** Facts of an examination that the next state depends on. */
export interface Acceptance {
  /**
   * The era of versions of the examination: that of the root that was trusted then, not of a later
   * one.
   */
  readonly era?: number;
  /** The groups of the configuration. */
  readonly groups: readonly string[];
}

/** The state once `desired` is trusted. This does not deploy it. */
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
 * The state once `desired` is trusted, which is for a share of the group without this device. A
 * version of the group that the device follows stays in force. Without one, the group has no
 * command for the device, and the next target has precedence.
 *
 * @returns `state` itself when nothing changes
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
 * The state once `desired` is trusted and pending. One write saves both: after a power cut the
 * device either does not know the version or carries it out.
 *
 * A deployment that is still pending here was superseded and did not restore the previous set. If
 * it had touched pods, the attempts of the new one begin at 1, so that it restores the set if it
 * fails (see `PendingDeployment`).
 *
 * @param bootId of this boot; given only for an activation that waits for the next one
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

/** The state once `root` is trusted. It follows the trusted root, or was put on the device. */
export function acceptRoot(state: DeviceState, root: RootDocument): DeviceState {
  const era = eraAfter(root, state.root);
  return { ...state, root: { document: root, ...(era === undefined ? {} : { era }) } };
}

/**
 * `next` with the newer root and the newer marks of both states: `next` may derive from a state
 * before the newest command or root was trusted.
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
