import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AcName, ImageId } from '../../../src/image/appc/types.ts';
import { Supervisor } from '../../../src/device/agent/supervisor.ts';
import type { World as Deployable } from '../../../src/device/deploy/world.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';
import type { DeploymentEvent } from '../../../src/wire/report/report.ts';
import type { DesiredState } from '../../../src/wire/trust/desired-state.ts';
import { desiredImageOf, desiredStateOf } from '../../support/desired.ts';
import { WorldModel } from '../../support/world-model.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

/**
 * A command in the form that the examiner of these tests reads: `<version> <content>`, or `bad` for
 * one that it refuses.
 */
function command(version: number, content: string): Uint8Array {
  return Buffer.from(`${version} ${content}`);
}

function desired(version: number, content: string): DesiredState {
  const image = desiredImageOf(`sha512-${content}` as ImageId, 'example.com/web');
  return desiredStateOf({
    version,
    issued: version,
    expires: 1000,
    pods: [{ name: 'web' as AcName, manifest: Buffer.from(content) }],
    images: content.startsWith('image') ? [image] : [],
  });
}

/** Never resolves; rejects when the signal is aborted. */
async function endOf(signal: AbortSignal | undefined): Promise<never> {
  return await new Promise<never>((_, reject) =>
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );
}

/** A world in which the probation of pods named `slow` never ends. */
class World extends WorldModel {
  override async probation(...[pods, , signal]: Partial<Parameters<Deployable['probation']>>) {
    await super.probation([], { seconds: 0 });
    if (!pods?.some((pod) => pod.name.endsWith('slow'))) return;
    await endOf(signal);
  }
}

function device(
  world = new World(),
  startPods: (signal: AbortSignal) => Promise<void> = () => Promise.resolve(),
) {
  const events: DeploymentEvent[] = [];
  const journal: string[] = [];
  const debug: string[] = [];
  const steps: string[] = [];
  const examined: string[] = [];
  const repeated: number[] = [];
  const clock = new FakeClock();
  const supervisor = new Supervisor({
    keeper: world,
    world,
    clock,
    journal: {
      log: (level, message, fields) => {
        if (level === 'debug') debug.push(message);
        if (level === 'info') steps.push(message);
        if (fields?.['WHERRY_CODE'] !== undefined) journal.push(`${fields['WHERRY_CODE']}: ${message}`);
      },
    },
    bootId: 'boot',
    examine: async (message, { trusted }, signal) => {
      const text = Buffer.from(message).toString();
      examined.push(text);
      await settle();
      if (text.endsWith('never')) await endOf(signal);
      const [version = '', content = ''] = text.split(' ');
      if (version === 'bad') throw new Refusal('unsigned', 'the envelope carries no signature');
      const outcome = Number(version) === trusted.version ? 'same' : 'new';
      const payloadSha256 = createHash('sha256').update(content).digest('hex');
      return { outcome, desired: desired(Number(version), content), payloadSha256, signedBy: ['key'] };
    },
    onChange: () => undefined,
    startPods,
    later: (delayMs, work) => void clock.sleep(delayMs).then(work),
    onRest: () => undefined,
    onEvent: (event) => events.push(event),
    onAccepted: () => undefined,
    onRepeated: () => repeated.push(clock.nowMs()),
  });
  const outcomes = () => events.map(({ version, outcome }) => `${version} ${outcome}`);
  return { world, events, journal, steps, debug, examined, repeated, clock, supervisor, outcomes };
}

/** Waits until all promises have settled. No test here waits for time. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await settle();
}

describe('the supervisor', () => {
  it('[C6] [C40] answers each version once with its outcome', async () => {
    const { supervisor, outcomes, world } = device();
    supervisor.receive(command(1, 'a'));
    await rest();
    world.refuse = { pull: 'no-space', stage: 'pod-user-unknown' };
    supervisor.receive(command(2, 'b'));
    await rest();
    expect(outcomes()).toEqual(['1 committed', '2 refused']);
    expect([...world.running]).toEqual(['web-a']);
  });

  it('traces a message in debug entries, also a skipped one', async () => {
    const { supervisor, debug } = device();
    supervisor.receive(command(1, 'a'));
    await rest();
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(debug).toEqual([
      'version 1 examined: new',
      expect.stringMatching(/^message [0-9a-f]{12} skipped: it is the last one that was judged$/),
    ]);
  });

  it('[C85] examines a refused command again under another root', async () => {
    const { supervisor, examined, events } = device();
    const refused = Buffer.from('bad');
    for (let count = 0; count < 2; count += 1) {
      supervisor.receive(refused);
      await rest();
    }
    expect(examined).toHaveLength(1);
    supervisor.forgetJudgement();
    supervisor.receive(refused);
    await rest();
    expect(examined).toHaveLength(2);
    expect(events).toHaveLength(2);
  });

  it('[C44] runs a newer version instead of an unfinished one', async () => {
    const { supervisor, outcomes, world } = device();
    supervisor.receive(command(1, 'old'));
    await rest();
    supervisor.receive(command(2, 'slow'));
    await rest();
    expect(supervisor.deployment).toMatchObject({ version: 2, phase: 'probation' });
    expect([...world.running]).toEqual(['web-slow']);
    supervisor.receive(command(3, 'new'));
    await rest();
    expect(outcomes()).toEqual(['1 committed', '2 superseded', '3 committed']);
    expect([...world.running]).toEqual(['web-new']);
    expect([...world.stagedUnits]).toEqual(['web-new']);
  });

  it('[C42] runs the old set again although the superseded version could not restore it', async () => {
    const { supervisor, outcomes, world } = device();
    supervisor.receive(command(1, 'old'));
    await rest();
    supervisor.receive(command(2, 'slow'));
    await rest();
    const enable = world.enable.bind(world);
    world.enable = () => {
      world.enable = enable;
      return Promise.reject(new Error('systemd cannot be reached'));
    };
    world.refuse = { stage: 'pod-user-unknown' };
    supervisor.receive(command(3, 'new'));
    await rest();
    expect(outcomes()).toEqual(['1 committed', '3 rolled-back']);
    expect([...world.running]).toEqual(['web-old']);
  });

  it('[C23] saves a version as trusted and pending in one write, once the old run has ended', async () => {
    const { supervisor, world } = device();
    supervisor.receive(command(1, 'old'));
    await rest();
    supervisor.receive(command(2, 'slow'));
    await rest();
    const saved: string[] = [];
    const save = world.save.bind(world);
    world.save = async (state) => {
      saved.push(`${state.trusted.version} ${state.last?.phase} ${state.pending?.desired.version}`);
      await save(state);
    };
    world.calls.length = 0;
    supervisor.receive(command(3, 'new'));
    await rest();
    expect(saved.slice(0, 2)).toEqual(['2 superseded undefined', '3 superseded 3']);
    const [, accepted] = [...world.calls.entries()].filter(([, call]) => call === 'save');
    expect(world.calls.indexOf('stage')).toBeGreaterThan(accepted?.[0] ?? Infinity);
    expect(world.state.trusted.issued).toBe(3);
  });

  it('[C55] logs each step of an activation, and reports the current one', async () => {
    const { supervisor, steps, world } = device();
    supervisor.receive(command(1, 'old'));
    await rest();
    const reported: unknown[] = [];
    world.beforeCall = (call) => {
      if (/^(stop|start)/.test(call)) reported.push(supervisor.deployment);
    };
    steps.length = 0;
    supervisor.receive(command(2, 'new'));
    await rest();
    const words = [
      'stop web-old.service, not in the set',
      'stop web-old.slice, not in the set',
      'start app main of pod web-new',
    ];
    expect(steps).toEqual(words.map((step) => `version 2: activate: ${step}`));
    expect(reported).toEqual(words.map((step) => ({ version: 2, phase: 'activate', step })));
  });

  it('is idle once the message is examined and the deployment has ended', async () => {
    const { supervisor } = device();
    await supervisor.rest();
    let rested = false;
    supervisor.receive(command(2, 'slow'));
    const resting = supervisor.rest().then(() => (rested = true));
    await rest();
    expect(supervisor.deployment).toMatchObject({ version: 2, phase: 'probation' });
    expect(rested).toBe(false);
    supervisor.receive(command(3, 'new'));
    await resting;
    expect(supervisor.busy).toBe(false);
    expect(supervisor.deployment).toMatchObject({ version: 3, phase: 'committed' });
  });

  it('[C24] ignores the same command when it arrives again', async () => {
    const { supervisor, outcomes, world, examined } = device();
    supervisor.receive(command(1, 'a'));
    await rest();
    const calls = [...world.calls];
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(examined).toHaveLength(1);
    supervisor.receive(command(1, 'a again, by another signature'));
    await rest();
    expect(examined).toHaveLength(2);
    expect(world.calls).toEqual(calls);
    expect(outcomes()).toEqual(['1 committed']);
  });

  it('[C250] repeats the report when a known command arrives again, at a bounded rate', async () => {
    const { supervisor, repeated, clock } = device();
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(repeated).toHaveLength(0);
    for (let times = 0; times < 10; times++) {
      supervisor.receive(command(1, 'a'));
      await rest();
    }
    expect(repeated).toHaveLength(3);
    await clock.pass(8_000);
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(repeated).toHaveLength(4);
  });

  it('[C6] [C50] answers a refused message once, and reports it until a valid one arrives', async () => {
    const { supervisor, events, journal } = device();
    supervisor.receive(Buffer.from('bad'));
    await rest();
    expect(events).toMatchObject([{ version: 0, outcome: 'refused', code: 'unsigned' }]);
    expect(journal).toEqual(['unsigned: command refused: the envelope carries no signature']);
    expect(supervisor.refused).toMatchObject({ code: 'unsigned' });
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(supervisor.refused).toBeUndefined();
  });

  it('reads only the last of the messages that arrive during an examination', async () => {
    const { supervisor, examined } = device();
    for (const version of [1, 2, 3, 4]) supervisor.receive(command(version, 'x'));
    await rest();
    expect(examined).toEqual(['1 x', '4 x']);
  });

  it('leaves a deployment pending when wherryd stops, and resumes it', async () => {
    const { supervisor, world, outcomes } = device();
    supervisor.receive(command(1, 'slow'));
    await rest();
    await supervisor.close();
    expect(world.state.pending?.desired.version).toBe(1);
    expect(outcomes()).toEqual([]);
    const next = device(world);
    void next.supervisor.resume();
    await rest();
    expect(next.supervisor.deployment).toMatchObject({ version: 1, phase: 'probation' });
  });

  it('[C260] obeys a command while the pods start, and restarts them if it was refused', async () => {
    const starts: string[] = [];
    const { supervisor, world, outcomes } = device(new World(), async (signal) => {
      starts.push('begun');
      if (starts.length > 2) return;
      await endOf(signal).catch((error: unknown) => {
        starts.push('aborted');
        throw error;
      });
    });
    void supervisor.resume();
    // Neither a visit to the broker nor garbage collection waits for the pods.
    expect(supervisor.busy).toBe(false);
    world.refuse = { stage: 'pod-user-unknown' };
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(outcomes()).toEqual(['1 refused']);
    expect(starts).toEqual(['begun', 'aborted', 'begun']);
    expect(supervisor.busy).toBe(false);
  });

  it('[C260] starts the pods after a deployment that a start of wherryd resumed', async () => {
    const { supervisor, world } = device();
    supervisor.receive(command(1, 'slow'));
    await rest();
    await supervisor.close();
    const done: string[] = [];
    const next = device(world, () => {
      done.push(`pods started after ${next.outcomes().at(-1)}`);
      return Promise.resolve();
    });
    void next.supervisor.resume();
    await rest();
    world.refuse = { stage: 'pod-user-unknown' };
    next.supervisor.receive(command(2, 'b'));
    await rest();
    expect(done).toEqual(['pods started after 2 refused']);
  });

  it('[C260] is idle when an examination has ended while the pods still start', async () => {
    const { supervisor } = device(new World(), endOf);
    void supervisor.resume();
    supervisor.receive(Buffer.from('bad'));
    expect(supervisor.busy).toBe(true);
    await supervisor.rest();
    expect(supervisor.busy).toBe(false);
  });

  it('[C260] retries the start of the pods after ten seconds, until it succeeds', async () => {
    let starts = 0;
    const { supervisor, clock, journal } = device(new World(), () => {
      starts += 1;
      return starts === 1 ? Promise.reject(new Error('the bus is gone')) : Promise.resolve();
    });
    await supervisor.resume();
    expect(journal).toEqual(['internal: the pods could not be started: Error: the bus is gone']);
    await clock.pass(10_000);
    await rest();
    supervisor.receive(command(1, 'a'));
    await rest();
    expect(starts).toBe(2);
  });

  it('[C71] [C260] replaces a damaged image once the pods have started', async () => {
    const { supervisor, world } = device();
    supervisor.receive(command(1, 'image'));
    await rest();
    let started: () => void = () => undefined;
    const next = device(world, () => new Promise((resolve) => (started = resolve)));
    void next.supervisor.resume();
    world.damaged.add('sha512-image');
    world.calls.length = 0;
    next.supervisor.receive(command(1, 'image'));
    await rest();
    expect(world.calls).toEqual([]);
    started();
    await rest();
    expect(world.calls.slice(-3)).toEqual(['stop web-image', 'unmount sha512-image', 'start web-image']);
  });

  it('ends an examination without an answer when closed, and accepts no more messages', async () => {
    const { supervisor, examined, journal, outcomes, world } = device();
    supervisor.receive(command(1, 'never'));
    await settle();
    await supervisor.close();
    supervisor.receive(command(2, 'web'));
    await settle();
    expect(examined).toEqual(['1 never']);
    expect([journal, outcomes(), world.calls]).toEqual([[], [], []]);
  });

  it('[C71] replaces a damaged image when the running command arrives again', async () => {
    const { supervisor, world, journal, outcomes } = device();
    supervisor.receive(command(1, 'image'));
    await rest();
    const next = device(world);
    world.damaged.add('sha512-image');
    world.refuse = { pull: 'download-failed' };
    world.calls.length = 0;
    next.supervisor.receive(command(1, 'image'));
    await rest();
    expect(next.journal).toEqual([
      expect.stringMatching(/^download-failed: what is damaged could not be replaced/),
    ]);
    world.refuse = {};
    next.supervisor.receive(command(1, 'image'));
    await rest();
    expect(world.calls.slice(-3)).toEqual(['stop web-image', 'unmount sha512-image', 'start web-image']);
    next.supervisor.receive(command(1, 'image'));
    await rest();
    expect(next.examined).toHaveLength(2);
    expect([...outcomes(), ...next.outcomes()]).toEqual(['1 committed']);
    expect(journal).toEqual([]);
  });
});
