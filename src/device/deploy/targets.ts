import type { DeviceState, TargetMark } from './state.ts';

/**
 * The targets of a device: itself, and the groups of its configuration. Which of them commands the
 * device follows only from the trusted versions and from that order (docs/decisions/targets.md).
 */

/** A group, or undefined for the device itself. */
export type TargetGroup = string | undefined;

/** How many groups are remembered, including those that the device has left. */
const maxMarks = 64;

const noMark: TargetMark = { version: 0, payloadSha256: '', issued: 0 };

/** The mark of a target; version 0 before its first command. */
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
 * @param groups of the configuration. When there are too many marks, the one with the oldest
 *   command of any other group is dropped.
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

/**
 * The first target with a command that has precedence over `group`; undefined when there is none.
 */
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
 * Whether the trusted command of a target has precedence now but is not the one that was accepted
 * last: it was passed over, or another target's was accepted after it.
 */
export function isUntried(state: DeviceState, groups: readonly string[], group: TargetGroup): boolean {
  const isFirst = targetBefore(state, groups, group) === undefined;
  return isFirst && commands(state, group) && state.follows !== group;
}

/**
 * The newer of two marks of a target, by era and then by version.
 *
 * @param other the saved one; it is returned when both are of one version
 */
export function newerMark(one: TargetMark, other: TargetMark): TargetMark {
  const [eraOne, eraOther] = [one.era ?? 0, other.era ?? 0];
  if (eraOne !== eraOther) return eraOne > eraOther ? one : other;
  return other.version >= one.version ? other : one;
}

/** The newest issue time of all trusted commands and the root, in seconds since 1970. */
export function newestIssued({ trusted, groups = [], root }: DeviceState): number {
  return Math.max(trusted.issued, ...groups.map(({ issued }) => issued), root?.document.issued ?? 0);
}

/** A target in words. */
export function targetInWords(group: TargetGroup): string {
  return group === undefined ? 'the device itself' : `the group ${group}`;
}
