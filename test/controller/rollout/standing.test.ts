import { describe, expect, it } from 'vitest';
import {
  isTouched,
  type Member,
  planWave,
  type Seen,
  standingOf,
  undoStandingOf,
  withoutFuture,
} from '../../../src/controller/rollout/index.ts';
import { rolloutOf, rules } from './model.ts';

const rollout = rolloutOf(3, [{ count: 2 }]);
const member: Member = { device: 'crane-0', wave: 0, before: 3, version: 4, undoVersion: 5, sentAtMs: 1 };
const seen: Seen = { trustedVersion: 4, currentVersion: 4, healthy: true, answers: new Map() };
const committed: Member = { ...member, answer: { phase: 'committed', atMs: 2 } };

describe('the standing of a device', () => {
  it('is failed for unhealthy pods only while it runs the version of the rollout', () => {
    const standing = (currentVersion: number) =>
      standingOf(rollout, committed, { ...seen, currentVersion, healthy: false }, 9).is;
    expect(standing(4)).toBe('failed');
    expect(standing(6)).toBe('good');
  });

  it('is left when another command came, which the undo of the rollout is not', () => {
    const standing = (trustedVersion: number) =>
      standingOf(rollout, member, { ...seen, trustedVersion }, 9).is;
    expect([4, 5, 6].map(standing)).toEqual(['waiting', 'waiting', 'left']);
  });

  it('is left in an undo when another command came after the rollout', () => {
    expect(undoStandingOf(rollout, committed, seen, 9)).toEqual({ is: 'unsent' });
    expect(undoStandingOf(rollout, committed, { ...seen, trustedVersion: 6 }, 9)).toEqual({ is: 'left' });
    const other: Member = { ...member, answer: { phase: 'left', atMs: 2 } };
    expect(isTouched(other)).toBe(false);
    expect(undoStandingOf(rollout, other, seen, 9)).toBeUndefined();
  });
});

it('a wave soaks from the last of its needed answers, in any order of the members', () => {
  const times = new Map(rollout.members.map(({ device }, index) => [device, [9_000, 2_000][index]]));
  const members = rollout.members.map((one): Member => {
    const atMs = times.get(one.device);
    return atMs === undefined ? one : { ...one, sentAtMs: 1, answer: { phase: 'committed', atMs } };
  });
  const soaking = { ...rollout, members, rules: { ...rules, soakSeconds: 5 } };
  expect(planWave(soaking, new Map(), 10_000)).toMatchObject({ for: 'soak', untilMs: 14_000 });
});

it('times of a clock that was ahead become now, and the soak begins again [C309]', () => {
  expect(withoutFuture(committed, 2)).toBeUndefined();
  expect(withoutFuture({ ...member, sentAtMs: 20 }, 10)).toEqual({ sentAtMs: 10 });
  const ahead: Member = { ...member, answer: { phase: 'committed', atMs: 9_000_000 } };
  const change = withoutFuture(ahead, 10_000);
  expect(change).toEqual({ answer: { phase: 'committed', atMs: 10_000 } });
  const one = { ...rolloutOf(1, ['all']), members: [{ ...ahead, ...change }] };
  const soaking = { ...one, rules: { ...rules, soakSeconds: 5 } };
  expect(planWave(soaking, new Map(), 10_000)).toMatchObject({ for: 'soak', untilMs: 15_000 });
  expect(planWave(soaking, new Map(), 15_000)).toMatchObject({ do: 'finish' });
});
