import { mkdtempSync, mkdirSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PodWatch } from '../../../src/device/world/pod-watch.ts';
import { ProbeWatch } from '../../../src/device/world/probe-watch.ts';
import { StepRunner } from '../../../src/device/world/steps.ts';
import { StoredObjects } from '../../../src/device/world/stored-objects.ts';
import { activatePods, type DeployedPod, restorePods, type World } from '../../../src/device/deploy/index.ts';
import { type ImageStore, nodeDisk } from '../../../src/device/store/index.ts';
import type { JobResult, Systemd } from '../../../src/device/systemd/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { deployedPod } from '../../support/world-model.ts';

const run = mkdtempSync(join(tmpdir(), 'wherry-steps-'));
afterAll(() => rmSync(run, { recursive: true }));
const disk = nodeDisk();

/** A systemd whose jobs last until the test releases them, which shows jobs in parallel. */
class JobSystemd implements Partial<Systemd> {
  readonly active = new Set<string>();
  readonly log: string[] = [];
  readonly failing = new Set<string>();
  readonly trying = new Set<string>();
  /** Units that need another one, which fails. */
  readonly needing = new Map<string, string>();
  /** Units whose jobs are replaced by others, and how often. */
  readonly replaced = new Map<string, number>();

  list = () => Promise.resolve([...this.active].map((name) => ({ ...unknown(name), activeState: 'active' })));
  status = (name: string) =>
    Promise.resolve({
      ...unknown(name),
      activeState: this.active.has(name) ? 'active' : 'inactive',
      result: this.failing.has(name) ? 'exit-code' : 'success',
    });
  unmet = (name: string) => Promise.resolve([this.needing.get(name) ?? []].flat());
  readonly forgiven: string[] = [];
  resetFailed = (unit: string): Promise<void> => {
    this.forgiven.push(unit);
    return Promise.resolve();
  };
  disable = (units: readonly string[]): Promise<void> => {
    this.log.push(`disable ${units.join(' ')}`);
    return Promise.resolve();
  };
  stop = async (unit: string): Promise<JobResult> => {
    this.log.push(`stop ${unit}`);
    await Promise.resolve();
    if (this.isReplaced(unit)) return 'canceled';
    this.active.delete(unit);
    this.log.push(`stopped ${unit}`);
    return 'done';
  };
  start = (unit: string, signal?: AbortSignal): Promise<JobResult> => {
    this.log.push(`start ${unit}`);
    if (this.trying.has(unit)) {
      if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
      return new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      );
    }
    if (this.failing.has(unit)) return Promise.resolve('failed');
    if (this.needing.has(unit)) return Promise.resolve('dependency');
    if (this.isReplaced(unit)) return Promise.resolve('canceled');
    this.active.add(unit).add(unit.replace('.service', '.slice'));
    return Promise.resolve('done');
  };

  private isReplaced(unit: string): boolean {
    const left = this.replaced.get(unit) ?? 0;
    this.replaced.set(unit, left - 1);
    return left > 0;
  }
}

function unknown(name: string) {
  return { name, activeState: 'inactive', subState: '' };
}

function device(...running: readonly DeployedPod[]) {
  const jobs = new JobSystemd();
  for (const { slice, services, mounts } of running) {
    for (const unit of [slice, ...services.map((service) => service.unit), ...mounts]) jobs.active.add(unit);
  }
  const systemd = jobs as Partial<Systemd> as Systemd;
  const lines: string[] = [];
  const journal = { log: (_level: string, message: string) => void lines.push(message) };
  const clock = new FakeClock();
  const probes = new ProbeWatch({
    systemd,
    clock,
    journal,
    ask: () => Promise.reject(new Error('no app has a probe')),
  });
  const watch = new PodWatch({
    systemd,
    readCgroupFile: () => undefined,
    readAddresses: () => [],
    probes,
  });
  const store = {} as ImageStore;
  const objects = new StoredObjects({ systemd, store, journal, mountOf: (id) => `${id}.mount` });
  const steps = new StepRunner({ systemd, clock, journal, watch, objects, disk, directories: { run } });
  const world = {
    loaded: () =>
      Promise.resolve(
        [...jobs.active]
          .filter((name) => !name.endsWith('.mount'))
          .map((name) => ({ name, activeState: 'active' })),
      ),
    replaced: () => objects.replaced,
    perform: steps.perform.bind(steps),
  } as Pick<World, 'loaded' | 'replaced' | 'perform'> as World;
  return { jobs, clock, lines, objects, steps, world };
}

const never = new AbortController().signal;
const [web, db] = [deployedPod('web', ['image-a']), deployedPod('db', ['image-b'])];

describe('an activation with systemd', () => {
  it('stops removed services, then their slices, and starts one app after the other', async () => {
    const { jobs, steps, world } = device(web, db);
    const next = [deployedPod('one'), deployedPod('two')];
    const words: string[] = [];
    await activatePods(world, next, never, (step) => words.push(step));
    expect(jobs.log).toEqual([
      'disable web.service db.service',
      ...['stop web.service', 'stop db.service', 'stopped web.service', 'stopped db.service'],
      ...['stop web.slice', 'stop db.slice', 'stopped web.slice', 'stopped db.slice'],
      ...['start one.service', 'start two.service'],
    ]);
    expect(steps.pods).toEqual(next);
    expect(words).toEqual([
      'stop web.service and 1 more, not in the set',
      'stop web.slice and 1 more, not in the set',
      'start app main of pod one',
      'start app main of pod two',
    ]);
  });

  it('restarts only the apps of a replaced image, from the new object', async () => {
    const { jobs, lines, objects, world } = device(web, db);
    await objects.stored('image-a');
    await objects.stored('image-c'); // never mounted
    await activatePods(world, [web, db], never, () => undefined);
    expect(jobs.log.filter((line) => !line.startsWith('stopped'))).toEqual([
      ...['stop web.service', 'stop image-a.mount', 'start web.service'],
    ]);
    expect(objects.replaced).toEqual([]);
    expect(lines).toEqual(['stopping web.service: started again from an image that was replaced']);
  });

  it('is not limited by starts that systemd has counted before [C202]', async () => {
    const { jobs, world } = device();
    await activatePods(world, [web], never, () => undefined);
    expect(jobs.forgiven).toEqual(['web.service', 'image-a.mount']);
  });

  it('starts the timer of a scheduled pod and not its app', async () => {
    const { jobs, world } = device();
    await activatePods(world, [{ ...web, timer: 'web.timer' }], never, () => undefined);
    expect(jobs.log).toEqual(['start web.timer']);
    expect(jobs.forgiven).toEqual(['web.timer']);
  });

  it('is refused if the timer of a pod does not start', async () => {
    const { jobs, world } = device();
    jobs.failing.add('web.timer');
    await expect(
      activatePods(world, [{ ...web, timer: 'web.timer' }], never, () => undefined),
    ).rejects.toMatchObject({
      code: 'activation-failed',
      message: 'the timer of pod web did not start (failed); see journalctl -u web.timer',
    });
  });

  it('is refused at the first app that does not start, with the reason', async () => {
    const { jobs, world } = device();
    jobs.failing.add('web.service');
    await expect(activatePods(world, [web, db], never, () => undefined)).rejects.toMatchObject({
      code: 'activation-failed',
      message: 'app main of pod web did not start (exit-code); see journalctl -u web.service',
    });
    expect(jobs.active.has('db.service')).toBe(false);
  });

  it('is refused with the unit that an app needs and that did not start [C254]', async () => {
    const { jobs, world } = device();
    jobs.needing.set('web.service', 'srv-data.mount');
    await expect(activatePods(world, [web], never, () => undefined)).rejects.toMatchObject({
      code: 'activation-failed',
      message:
        'app main of pod web did not start (dependency: srv-data.mount did not start); see journalctl -u web.service',
    });
  });

  it('[C246] repeats a stop that another start has replaced', async () => {
    const { jobs, world } = device(web);
    jobs.replaced.set('web.service', 2);
    await activatePods(world, [db], never, () => undefined);
    expect(jobs.log.filter((line) => line === 'stop web.service')).toHaveLength(3);
    expect([...jobs.active].filter((unit) => unit.startsWith('web.'))).toEqual([]);
  });

  it('[C246] is refused if another job stops a starting app', async () => {
    const { jobs, world } = device();
    jobs.replaced.set('web.service', 1);
    await expect(activatePods(world, [web], never, () => undefined)).rejects.toMatchObject({
      code: 'activation-failed',
      message: expect.stringContaining('did not start (canceled: another actor stopped it)') as string,
    });
  });

  it('waits for an app that runs once up to its own limit [C134]', async () => {
    const { jobs, clock, world } = device();
    jobs.trying.add('web.service');
    const setup = { ...web, services: web.services.map((service) => ({ ...service, onceSeconds: 90 })) };
    const refused = expect(activatePods(world, [setup, db], never, () => undefined)).rejects.toMatchObject({
      code: 'activation-failed',
      message: expect.stringContaining('did not start (timeout)') as string,
    });
    await clock.pass(89_999);
    expect(jobs.log).toEqual(['start web.service']);
    await clock.pass(1);
    await refused;
    expect(jobs.log).toEqual(['start web.service']);
  });

  it('is refused with the reason if the network of the pod was not attached', async () => {
    const { jobs, world } = device();
    jobs.failing.add('web.service');
    mkdirSync(join(run, 'attachments'), { recursive: true });
    const place = join(run, 'attachments', `${web.uuid}.failure`);
    writeFileSync(place, 'pod-network-failed pod web: the plugin bridge refused the network bridge: no\n');
    await expect(activatePods(world, [web], never, () => undefined)).rejects.toMatchObject({
      code: 'pod-network-failed',
      message: 'pod web: the plugin bridge refused the network bridge: no',
    });
    expect(existsSync(place)).toBe(false);
  });

  it('[C42] of the last good set starts every app that can start', async () => {
    const { jobs, world } = device();
    jobs.failing.add('web.service');
    const refusals = await restorePods(world, [web, db], () => undefined);
    expect(refusals.map(({ code }) => code)).toEqual(['activation-failed']);
    expect(jobs.active.has('db.service')).toBe(true);
  });

  it('[C371] of the last good set does not wait for apps behind one that is retried for ever', async () => {
    const { jobs, world, clock } = device();
    const [first] = web.services;
    if (first === undefined) throw new Error('the pod has no app');
    const setup = { ...first, app: 'setup', unit: 'setup.service', onceSeconds: 90 };
    jobs.trying.add('setup.service').add('web.service');
    const pod = { ...web, services: [setup, first] };
    const restored = restorePods(world, [pod, db], () => undefined);
    await clock.pass(90_000);
    expect((await restored).map(({ message }) => message)).toEqual([
      expect.stringMatching(/^app setup of pod web did not start \(timeout\)/),
    ]);
    // The other app starts as soon as it can.
    expect(jobs.log).toEqual(['start setup.service', 'start web.service', 'start db.service']);
  });

  it('[C260] of the last good set starts no more apps once it is aborted', async () => {
    const { jobs, world } = device();
    const abort = new AbortController();
    const restored = restorePods(
      world,
      [web, db],
      () => abort.abort(new Error('a newer command')),
      abort.signal,
    );
    await expect(restored).rejects.toThrow('a newer command');
    expect(jobs.active.has('db.service')).toBe(false);
  });
});
