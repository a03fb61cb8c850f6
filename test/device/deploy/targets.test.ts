import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import {
  acceptDesired,
  decodeState,
  type DeviceState,
  emptyState,
  encodeState,
  isUntried,
  keepNewerTrust,
  markOfTarget,
  newestIssued,
  standAside,
  targetBefore,
  trustDesired,
} from '../../../src/device/deploy/index.ts';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import type { DesiredState } from '../../../src/wire/trust/index.ts';
import { desiredStateOf } from '../../support/desired.ts';

const targets = [undefined, 'kitchen', 'floor', 'house'] as const;
const groups = ['kitchen', 'floor', 'house'];
const none = { groups: [] };

function command(
  group: string | undefined,
  version: number,
  change: Partial<DesiredState> = {},
): DesiredState {
  const target = group === undefined ? { device: 'device' as AcName } : { group: group as AcName };
  return desiredStateOf({ target, version, issued: version, expires: version + 1, ...change });
}

/** Messages that a broker delivers, each with its target. Versions of a target increase. */
const messages = fc.array(
  fc.record({
    group: fc.constantFrom(...targets),
    withdrawn: fc.boolean(),
    stepUp: fc.integer({ min: 1, max: 3 }),
  }),
  { maxLength: 30 },
);

/** A device that follows the rules, and the last command of each target that it received. */
function obey(told: readonly { group: string | undefined; withdrawn: boolean; stepUp: number }[]) {
  let state: DeviceState = emptyState;
  const last = new Map<string | undefined, DesiredState>();
  for (const { group, withdrawn, stepUp } of told) {
    const version = markOfTarget(state, group).version + stepUp;
    const desired = command(group, version, withdrawn ? { withdrawn } : {});
    last.set(group, desired);
    const isFirst = targetBefore(state, groups, group) === undefined;
    const digest = `${group ?? ''}-${version}`;
    state =
      isFirst && !withdrawn
        ? acceptDesired(state, desired, digest, { groups })
        : trustDesired(state, desired, digest, { groups });
    // After a withdrawal the device requests the commands of the others again.
    if (withdrawn)
      for (const [other, retained] of last)
        if (isUntried(state, groups, other))
          state = acceptDesired(state, retained, `${other ?? ''}-${retained.version}`, { groups });
  }
  return { state, last };
}

describe('the targets of a device', () => {
  it('[C175] select the first target with a command that was not withdrawn', () => {
    fc.assert(
      fc.property(messages, (told) => {
        const { state, last } = obey(told);
        const [first] = targets
          .filter((group) => last.has(group) && last.get(group)?.withdrawn !== true)
          .map((group) => ({ group }));
        if (first === undefined) return;
        expect(state.follows).toBe(first.group);
        expect(state.pending?.desired).toEqual(last.get(first.group));
      }),
    );
  });

  it('[C176] never decrease the version of any target, in any order of messages', () => {
    fc.assert(
      fc.property(messages, (told) => {
        const { state, last } = obey(told);
        for (const [group, desired] of last)
          expect(markOfTarget(state, group).version, group ?? 'device').toBe(desired.version);
        expect(newestIssued(state)).toBe(Math.max(0, ...[...last.values()].map(({ version }) => version)));
      }),
    );
  });

  it('[C176] survive a power cut: the saved state is read again', () => {
    fc.assert(
      fc.property(messages, (told) => {
        const { state } = obey(told);
        expect(decodeState(encodeState(state))).toEqual(state);
      }),
    );
  });

  it('[C176] are kept when a deployment saves an older state', () => {
    const stale = acceptDesired(emptyState, command(undefined, 3), 'a', none);
    const saved = trustDesired(stale, command('kitchen', 9), 'b', { groups });
    expect(keepNewerTrust(stale, saved)).toEqual(saved);
    const later = acceptDesired(saved, command(undefined, 4), 'c', { groups });
    expect(keepNewerTrust(later, saved)).toEqual(later);
  });

  it('[C176] begin a new epoch of versions for each target separately', () => {
    const before = trustDesired(emptyState, command('kitchen', 900), 'a', { groups });
    const next = trustDesired(before, command('kitchen', 1), 'b', { era: 2, groups });
    expect(markOfTarget(next, 'kitchen')).toMatchObject({ version: 1, era: 2 });
    expect(markOfTarget(keepNewerTrust(before, next), 'kitchen')).toMatchObject({ version: 1, era: 2 });
  });

  it('[C175] a group that left the configuration is ignored', () => {
    const state = acceptDesired(emptyState, command('kitchen', 1), 'a', { groups });
    const both = trustDesired(state, command('floor', 1), 'b', { groups });
    expect(isUntried(both, ['kitchen', 'floor'], 'floor')).toBe(false);
    expect(isUntried(both, ['floor'], 'floor')).toBe(true);
    expect(markOfTarget(both, 'kitchen').version).toBe(1);
  });

  it('[C228] stay so when a deployment saves an older state', () => {
    const own = acceptDesired(emptyState, command('kitchen', 1), 'a', { groups });
    const outside = standAside(own, command('kitchen', 2), 'b', { groups });
    expect(outside.follows).toBe('kitchen');
    const other = acceptDesired(outside, command(undefined, 1), 'c', { groups });
    const passedBy = standAside(other, command('kitchen', 2), 'b', { groups });
    expect(markOfTarget(passedBy, 'kitchen')).toMatchObject({ version: 2, withdrawn: true });
    expect(standAside(passedBy, command('kitchen', 2), 'b', { groups })).toBe(passedBy);
    expect(keepNewerTrust(other, passedBy)).toEqual(passedBy);
  });

  it('a version that was rolled back is not retried', () => {
    const { pending: _ended, ...state } = acceptDesired(emptyState, command('kitchen', 1), 'a', { groups });
    expect(isUntried(state, groups, 'kitchen')).toBe(false);
  });

  it('forget the oldest of 65 groups, and never one of the configuration', () => {
    let state: DeviceState = trustDesired(emptyState, command('kitchen', 1), 'a', { groups });
    for (let index = 0; index < 64; index++)
      state = trustDesired(state, command(`old-${index}`, 2 + index), 'b', { groups });
    expect(state.groups).toHaveLength(64);
    expect(markOfTarget(state, 'kitchen').version).toBe(1);
    expect(markOfTarget(state, 'old-0').version).toBe(0);
    expect(markOfTarget(state, 'old-1').version).toBe(3);
  });
});

describe('a state of another release', () => {
  const digest = 'a'.repeat(64);
  const older = {
    format: 1,
    trusted: { version: 7, payloadSha256: digest, issued: 3, era: 2 },
    current: { version: 7, pods: [], imageIds: [] },
    last: { version: 7, phase: 'committed' },
    images: [],
  };

  it('[C176] of a wherry without groups is read, and written in its format', () => {
    const state = decodeState(encodeCbor(older));
    expect(state).toEqual(older);
    expect(isUntried(state, groups, undefined)).toBe(false);
    expect(targetBefore(state, groups, 'kitchen')).toEqual({ group: undefined });
    expect(Buffer.from(encodeState(state))).toEqual(Buffer.from(encodeCbor(older)));
  });

  it.each([
    ['a field that this release does not know', { ...older, shares: [] }],
    [
      'a mark that this release does not know',
      { ...older, groups: [{ name: 'kitchen', ...older.trusted, share: 1 }] },
    ],
    ['a later format', { ...older, format: 2 }],
  ])('[C176] with %s is state-unreadable', (_what, newer) => {
    expect(() => decodeState(encodeCbor(newer))).toThrow(
      expect.objectContaining({ code: 'state-unreadable' }) as Error,
    );
  });
});
