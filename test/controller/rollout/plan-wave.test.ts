import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  planWave,
  waveToApprove,
  type Answer,
  type Seen,
  type Stage,
} from '../../../src/controller/rollout/index.ts';
import { rolloutOf, RolloutModel, rules, type Fate } from './model.ts';

const stage = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
);
const fleet = fc.record({
  count: fc.integer({ min: 1, max: 40 }),
  stages: fc.array(stage, { maxLength: 4 }),
  seed: fc.string({ minLength: 1, maxLength: 6 }),
});
const fate = fc.constantFrom<Fate>('commit', 'commit', 'commit', 'commit', 'fail', 'silent');

/** Moves of the world between the steps of a controller. */
const moves = fc.array(fc.record({ device: fc.nat(39), dies: fc.boolean(), steps: fc.boolean() }), {
  minLength: 50,
  maxLength: 300,
});

function modelOf(
  { count, stages, seed }: { count: number; stages: readonly Stage[]; seed: string },
  fates: readonly Fate[],
) {
  const rollout = rolloutOf(count, stages, { id: seed });
  return new RolloutModel(
    rollout,
    new Map(rollout.members.map(({ device }, index) => [device, fates[index] ?? 'commit'])),
  );
}

/** Lets everything happen that can. */
function settle(model: RolloutModel): void {
  for (let turn = 0; turn < 200; turn++) {
    const plan = model.step();
    for (const { device } of model.rollout.members) model.deliver(device);
    if (plan.do === 'finish' || plan.do === 'halt') return;
  }
}

describe('a rollout', () => {
  it('never has more unfinished devices than its stage allows', () => {
    fc.assert(
      fc.property(fleet, fc.array(fate, { minLength: 40, maxLength: 40 }), moves, (given, fates, played) => {
        const model = modelOf(given, fates);
        const names = model.rollout.members.map(({ device }) => device);
        for (const { device, dies, steps } of played) {
          if (steps) model.step(dies);
          else model.deliver(names[device % names.length] ?? '');
          const out = new Set(model.out());
          const waves = model.rollout.members
            .filter(({ device: name }) => out.has(name))
            .map(({ wave }) => wave);
          const last = Math.max(-1, ...waves);
          // A wave begins only when everybody of the waves before it is good.
          for (const { device: name, wave } of model.rollout.members) {
            if (wave < last) expect(model.running.get(name)).toBe(4);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('that halts has touched devices of one wave beside those that are good', () => {
    fc.assert(
      fc.property(fleet, fc.array(fate, { minLength: 40, maxLength: 40 }), (given, fates) => {
        const model = modelOf(given, fates);
        settle(model);
        const fails = (device: string) => model.answers.get(device)?.get(4)?.phase === 'rolled-back';
        const isBad = model.rollout.members.some(({ device }) => fails(device));
        expect(model.rollout.phase === 'halted').toBe(isBad);
        if (!isBad) return;
        const bad = model.rollout.members.filter(
          ({ device }) => model.retained.has(device) && model.running.get(device) !== 4,
        );
        expect(new Set(bad.map(({ wave }) => wave)).size).toBeLessThanOrEqual(1);
        const wave = bad[0]?.wave ?? 0;
        for (const member of model.rollout.members) {
          if (member.wave > wave) expect(model.retained.has(member.device)).toBe(false);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is the same for a controller that died and for one that did not', () => {
    fc.assert(
      fc.property(fleet, fc.array(fate, { minLength: 40, maxLength: 40 }), moves, (given, fates, played) => {
        const living = modelOf(given, fates);
        const dying = modelOf(given, fates);
        for (const { device, dies } of played) {
          for (const model of [living, dying]) {
            const names = model.rollout.members.map(({ device: name }) => name);
            model.step(model === dying && dies);
            // The next controller begins with a repair.
            if (model === dying && dies) model.repair();
            model.deliver(names[device % names.length] ?? '');
          }
          expect(dying.plan()).toEqual(living.plan());
        }
      }),
      { numRuns: 40 },
    );
  });

  it('that is undone leaves every device with what it had before', () => {
    fc.assert(
      fc.property(
        fleet,
        fc.array(fate, { minLength: 40, maxLength: 40 }),
        moves,
        fc.nat(200),
        (given, fates, played, undoAt) => {
          const model = modelOf(given, fates);
          const names = model.rollout.members.map(({ device }) => device);
          for (const { device, dies } of played.slice(0, undoAt)) {
            model.step(dies);
            model.deliver(names[device % names.length] ?? '');
          }
          model.rollout = { ...model.rollout, phase: 'undoing' };
          settle(model);
          expect(model.rollout.phase).toBe('undone');
          for (const { device, sentAtMs } of model.rollout.members) {
            // 5 has the content of 3; who was never touched runs 3 itself.
            expect(model.running.get(device)).toBe(sentAtMs === undefined ? 3 : 5);
            if (sentAtMs === undefined) expect(model.retained.has(device)).toBe(false);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the next step', () => {
  const answered = (phase: Answer['phase'], code?: string): Seen => ({
    trustedVersion: 4,
    currentVersion: phase === 'committed' ? 4 : 3,
    healthy: true,
    answers: new Map([[4, { phase, ...(code === undefined ? {} : { code }) }]]),
  });
  /** A rollout whose first `sent` members were sent at 0 and answered like this. */
  const after = (answers: readonly (Seen | undefined)[], changes: Parameters<typeof rolloutOf>[2] = {}) => {
    const rollout = rolloutOf(4, [{ count: 2 }], changes);
    const members = rollout.members.map((member, index) =>
      index < answers.length ? { ...member, sentAtMs: 0 } : member,
    );
    const seen = new Map(
      answers.flatMap((view, index) => (view === undefined ? [] : [[members[index]?.device ?? '', view]])),
    );
    return [{ ...rollout, members }, seen] as const;
  };

  it('sends the first wave at once and waits for its answers', () => {
    expect(planWave(...after([]), 0)).toMatchObject({
      do: 'send',
      wave: 0,
      members: [{ wave: 0 }, { wave: 0 }],
    });
    expect(planWave(...after([undefined, undefined]), 5)).toEqual({ do: 'wait', for: 'answers', wave: 0 });
  });

  it('soaks from the last answer that was needed', () => {
    const [rollout, seen] = after([answered('committed'), answered('committed')], {
      rules: { ...rules, soakSeconds: 60 },
    });
    const stored = {
      ...rollout,
      members: rollout.members.map((member) =>
        member.wave === 0 ? { ...member, answer: { phase: 'committed', atMs: 5000 } as const } : member,
      ),
    };
    expect(planWave(stored, seen, 10_000)).toEqual({ do: 'wait', for: 'soak', wave: 0, untilMs: 65_000 });
    expect(planWave(stored, seen, 65_000)).toMatchObject({ do: 'send', wave: 1 });
  });

  it('halts when a device that was good fails during the soak', () => {
    const sick: Seen = { ...answered('committed'), healthy: false };
    expect(
      planWave(...after([answered('committed'), sick], { rules: { ...rules, soakSeconds: 60 } }), 1),
    ).toEqual({
      do: 'halt',
      reason: '1 of 2 devices of wave 1 failed (1 probation-failed); at most 0 may',
    });
  });

  it('tolerates the configured failures and requires the configured successes', () => {
    const mixed = [answered('committed'), answered('refused', 'no-space')];
    expect(planWave(...after(mixed), 1)).toMatchObject({ do: 'halt' });
    const lenient = { ...rules, errorPercent: 50, successPercent: 50 };
    expect(planWave(...after(mixed, { rules: lenient }), 1)).toMatchObject({ do: 'send', wave: 1 });
    expect(planWave(...after(mixed, { rules: { ...lenient, successPercent: 100 } }), 1)).toMatchObject({
      do: 'halt',
      reason: '1 of 2 devices of wave 1 failed (1 no-space); 2 must commit',
    });
  });

  it('continues without absent devices if the success share allows it', () => {
    const halfGood = { ...rules, successPercent: 50 };
    const away = [answered('committed'), undefined];
    expect(planWave(...after(away, { rules: halfGood }), 1)).toMatchObject({ do: 'send', wave: 1 });
    const rest = [...away, answered('committed'), answered('committed')];
    expect(planWave(...after(rest, { rules: halfGood }), 1)).toEqual({ do: 'wait', for: 'answers', wave: 0 });
  });

  it('drop: counts a device as failed whose command or answer is held back', () => {
    const impatient = { ...rules, answerSeconds: 60 };
    const silent = after([answered('committed'), undefined], { rules: impatient });
    expect(planWave(...silent, 59_999)).toEqual({ do: 'wait', for: 'answers', wave: 0, untilMs: 60_000 });
    expect(planWave(...silent, 60_000)).toMatchObject({
      do: 'halt',
      reason: expect.stringContaining('not-confirmed') as string,
    });
  });

  it('leaves out devices that have received another command since', () => {
    const other: Seen = { trustedVersion: 9, currentVersion: 9, healthy: true, answers: new Map() };
    expect(planWave(...after([answered('committed'), other]), 1)).toMatchObject({ do: 'send', wave: 1 });
    const [rollout] = after([]);
    const seen = new Map([[rollout.members[0]?.device ?? '', other]]);
    expect(planWave(rollout, seen, 1)).toMatchObject({
      do: 'send',
      members: [{ device: rollout.members[1]?.device }],
    });
  });

  it('waits for a required approval between stages', () => {
    const good = [answered('committed'), answered('committed')];
    const wanted = { rules: { ...rules, approval: true } };
    expect(planWave(...after([], wanted), 0)).toMatchObject({ do: 'send', wave: 0 });
    expect(planWave(...after(good, wanted), 0)).toEqual({ do: 'wait', for: 'approval', wave: 1 });
    expect(planWave(...after(good, { ...wanted, approvedWaves: 1 }), 0)).toMatchObject({
      do: 'send',
      wave: 1,
    });
  });

  it('waits for a person when other commands took every device of the waves before [C357]', () => {
    const other: Seen = { trustedVersion: 9, currentVersion: 9, healthy: true, answers: new Map() };
    const taken = after([other, other]);
    expect(planWave(...taken, 1)).toEqual({ do: 'wait', for: 'approval', wave: 1 });
    const [rollout, seen] = taken;
    expect(planWave({ ...rollout, approvedWaves: 1 }, seen, 1)).toMatchObject({ do: 'send', wave: 1 });
    // One device that has tried it is enough.
    expect(planWave(...after([other, answered('committed')]), 1)).toMatchObject({ do: 'send', wave: 1 });
    // Nothing is left to be sent.
    expect(planWave(...after([other, other, other, other]), 1)).toEqual({
      do: 'finish',
      phase: 'complete',
      reason: '4 of 4 devices got another command meanwhile',
    });
  });

  it('completes a wave that has begun when other commands then take those before [C357]', () => {
    const left = { phase: 'left', code: 'superseded', message: 'other', atMs: 1 } as const;
    const rollout = rolloutOf(4, [{ count: 2 }]);
    const sent = rollout.members.find(({ wave }) => wave === 1)?.device;
    const members = rollout.members.map((member) =>
      member.wave === 0
        ? { ...member, sentAtMs: 0, answer: left }
        : member.device === sent
          ? { ...member, sentAtMs: 0 }
          : member,
    );
    expect(planWave({ ...rollout, members }, new Map(), 1)).toMatchObject({ do: 'send', wave: 1 });
  });

  it('needs no approval of a wave whose devices other commands took [C357]', () => {
    const left = { phase: 'left', code: 'superseded', message: 'other', atMs: 1 } as const;
    const wanted = { rules: { ...rules, approval: true } };
    const rollout = rolloutOf(6, [{ count: 2 }, { count: 4 }], wanted);
    const members = rollout.members.map((member) =>
      member.wave === 0
        ? { ...member, sentAtMs: 0, answer: { phase: 'committed', atMs: 0 } as const }
        : member.wave === 1
          ? { ...member, answer: left }
          : member,
    );
    expect(planWave({ ...rollout, members }, new Map(), 1)).toEqual({ do: 'wait', for: 'approval', wave: 2 });
    expect(waveToApprove({ ...rollout, members })).toBe(2);
    const [, second] = [rollout, { ...rollout, members: members.map((one) => ({ ...one, sentAtMs: 0 })) }];
    expect(waveToApprove(second)).toBeUndefined();
    // Devices of later waves that other commands took do not count as begun.
    const early = rollout.members.map((member) =>
      member.wave === 0
        ? { ...member, sentAtMs: 0 }
        : member.wave === 2
          ? { ...member, answer: left }
          : member,
    );
    expect(waveToApprove({ ...rollout, members: early })).toBe(1);
  });

  it('of an undo awaits a silent device as long as the rollout does [C358]', () => {
    const [rollout] = after([answered('committed'), answered('committed')], {
      phase: 'undoing',
      rules: { ...rules, answerSeconds: 60 },
    });
    const members = rollout.members.map((member) =>
      member.wave === 0 ? { ...member, undoSentAtMs: 1_000 } : member,
    );
    const undoing = { ...rollout, members };
    expect(planWave(undoing, new Map(), 60_999)).toEqual({
      do: 'wait',
      for: 'answers',
      wave: 0,
      untilMs: 61_000,
    });
    expect(planWave(undoing, new Map(), 61_000)).toEqual({
      do: 'finish',
      phase: 'undone',
      reason: '2 devices did not go back; see "wherry rollout show"',
    });
    const patient = { ...undoing, rules };
    expect(planWave(patient, new Map(), 1e9)).toEqual({ do: 'wait', for: 'answers', wave: 0 });
  });

  it('does nothing while it is paused, halted or over', () => {
    for (const phase of ['paused', 'halted', 'complete', 'undone'] as const) {
      expect(planWave(...after([], { phase }), 0)).toMatchObject({ do: 'wait', for: 'a person' });
    }
  });

  it('does not send commands that have expired', () => {
    expect(planWave(...after([], { expires: 10 }), 10_000)).toMatchObject({
      do: 'halt',
      reason: expect.stringContaining('expired') as string,
    });
  });
});
