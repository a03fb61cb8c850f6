import type { DeviceState, TargetMark } from './state.ts';

/**
 * The targets of a device: itself, and the groups of its configuration. Which of them counts
 * follows from what is trusted and from that order alone (docs/decisions/targets.md).
 */

/** A group, or undefined for the device itself. */
export type TargetGroup = string | undefined;

/** How many groups are remembered, those included in which the device is no more. */
const maxMarks = 64;

const noMark: TargetMark = { version: 0, payloadSha256: '', issued: 0 };

/** What is remembered of the commands for a target; version 0 before the first. */
export function markOfTarget(state: DeviceState, group: TargetGroup): TargetMark {
  if (group === undefined) return state.trusted;
  const found = state.groups?.find(({ name }) => name === group);
  if (found === undefined) return noMark;
  const { name: _name, ...mark } = found;
  return mark;
}

/**
 * The state with the mark of a target.
 *
 * @param groups of the configuration. Of too many marks, the one with the oldest command of
 *   another group is forgotten.
 */
export function withMark(
  state: DeviceState,
  group: TargetGroup,
  mark: TargetMark,
  groups: readonly string[],
): DeviceState {
  if (group === undefined) return { ...state, trusted: mark };
  const others = (state.groups ?? []).filter(({ name }) => name !== group);
  const marks = [...others, { name: group, ...mark }];
  const [oldest] = others
    .filter(({ name }) => !groups.includes(name))
    .toSorted((one, other) => one.issued - other.issued);
  return { ...state, groups: marks.length > maxMarks ? marks.filter((one) => one !== oldest) : marks };
}

/** Whether a target has a command for this device that was not withdrawn. */
export function commands(state: DeviceState, group: TargetGroup): boolean {
  const { payloadSha256, withdrawn } = markOfTarget(state, group);
  return payloadSha256 !== '' && withdrawn !== true;
}

/** The target that goes before `group`; undefined when `group` is the first that commands. */
export function targetBefore(
  state: DeviceState,
  groups: readonly string[],
  group: TargetGroup,
): { readonly group: TargetGroup } | undefined {
  const targets: readonly TargetGroup[] = [undefined, ...groups];
  const earlier = targets.slice(0, targets.indexOf(group));
  const index = earlier.findIndex((target) => commands(state, target));
  return index === -1 ? undefined : { group: earlier[index] };
}

/**
 * Whether the trusted command of a target is to be obeyed now and was passed over until now, or was
 * taken up before another target's.
 */
export function isUntried(state: DeviceState, groups: readonly string[], group: TargetGroup): boolean {
  const isFirst = targetBefore(state, groups, group) === undefined;
  return isFirst && commands(state, group) && state.follows !== group;
}

/**
 * Of two marks of a target, the one that was made later: neither ever goes back.
 *
 * @param other what is saved; it counts when both are of one version
 */
export function newerMark(one: TargetMark, other: TargetMark): TargetMark {
  const [eraOne, eraOther] = [one.era ?? 0, other.era ?? 0];
  if (eraOne !== eraOther) return eraOne > eraOther ? one : other;
  return other.version >= one.version ? other : one;
}

/** The newest issue time of all that is trusted, in seconds since 1970. */
export function newestIssued({ trusted, groups = [], root }: DeviceState): number {
  return Math.max(trusted.issued, ...groups.map(({ issued }) => issued), root?.document.issued ?? 0);
}

/** A target in words. */
export function targetInWords(group: TargetGroup): string {
  return group === undefined ? 'the device itself' : `the group ${group}`;
}
