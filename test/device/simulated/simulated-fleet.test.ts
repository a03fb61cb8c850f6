import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseFaults, SimulatedFleet, type FaultKind } from '../../../src/device/simulated/index.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../src/operator/dev/embedded-broker.ts';
import type { DeviceLine } from '../../../src/operator/fleet/index.ts';
import type { DeviceReport, Presence } from '../../../src/wire/report/index.ts';
import { wherry, type Run } from '../../support/recording-terminal.ts';
import { makeRolloutFleet } from '../../support/simulated-rollouts.ts';
import { systemClock, until } from '../../support/system-clock.ts';

const phaseMs = 40;

describe('a simulated device', () => {
  let directory: string;
  let broker: EmbeddedBroker;
  const fleets: SimulatedFleet[] = [];
  /** By device: how long it has slept between two phases. */
  const slept = new Map<string, number[]>();
  const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
  const good = (): string[] => ['--run', `web=${join(directory, 'good.aci')}`];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-faults-'));
    broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
    await makeRolloutFleet(directory, broker.url, 1);
  });
  afterAll(async () => {
    for (const fleet of fleets) await fleet.close();
    await broker.close();
    await rm(directory, { recursive: true });
  });

  /** Starts `count` devices that all have the fault. */
  async function start(prefix: string, fault: FaultKind | undefined, count = 1): Promise<SimulatedFleet> {
    const times: number[] = [];
    slept.set(`${prefix}-0`, times);
    const fleet = new SimulatedFleet({
      fleet: 'harbour',
      brokers: [{ url: broker.url, version: 4 }],
      keys: [await readFile(join(directory, 'fleet/keys/deploy.pub.asc'), 'utf8')],
      clock: {
        ...systemClock,
        sleep: (ms, signal) => {
          times.push(ms);
          return systemClock.sleep(ms, signal);
        },
      },
      count,
      prefix,
      faults: parseFaults(fault === undefined ? [] : [`${fault}=100%`]),
      seed: '1',
      phaseMs,
      reconnectWindowSeconds: 1,
      startsPerSecond: 100,
    });
    fleets.push(fleet);
    await fleet.start();
    if (fault !== 'away') await until(() => fleet.traffic.connected === count);
    return fleet;
  }

  const seen = async (device: string) =>
    JSON.parse((await run('fleet', 'device', device, '--json')).out) as {
      readonly report: DeviceReport;
      readonly presence: Presence;
    };

  it('without a fault commits what it is commanded', async () => {
    await start('plain', undefined);
    expect(await run('deploy', 'plain-0', ...good())).toMatchObject({ status: 0 });
    const { report, presence } = await seen('plain-0');
    expect(report).toMatchObject({ currentVersion: 1, deployment: { phase: 'committed' } });
    expect(report.at).toBeGreaterThan(1_600_000_000);
    expect(presence).toMatchObject({ up: true, bootId: 'boot-1' });
    expect(slept.get('plain-0')?.filter((ms) => ms === 20 * phaseMs)).toEqual([]);
  });

  it('that is failing survives no probation', async () => {
    await start('bad', 'failing');
    const deployed = await run('deploy', 'bad-0', ...good());
    expect(deployed.status).toBe(65);
    expect(deployed.err).toContain('the simulated pod ended (probation-failed)');
    expect((await seen('bad-0')).report).toMatchObject({ trustedVersion: 1, currentVersion: 0, pods: [] });
  });

  it('that is away never connects, and the rollout counts it as silent', async () => {
    const fleet = await start('gone', 'away', 3);
    expect(fleet.traffic).toMatchObject({ attempts: 0, connected: 0 });
    const silent = ['--answer-within', '1s'];
    const halted = await run('rollout', 'start', 'gone-1', '--id', 'lost', ...good(), ...silent);
    expect(halted).toMatchObject({ status: 75, out: expect.stringContaining('1 not-confirmed') as string });
    // Its name is shown, too.
    const { out } = await run('rollout', 'show', 'lost');
    expect(out).toMatch(/^1 +1 +1 +0 +1 +0 +0$/m);
    expect(out).toMatch(/^gone-1 .* no answer seen$/m);
    // The device is gone for good, so the undo does not wait for it either.
    const undone = await run('rollout', 'undo', 'lost');
    expect(undone).toMatchObject({ status: 0, out: expect.stringContaining('1 devices did not') as string });
    expect((await run('rollout', 'show', 'lost')).out).toMatch(/^undo: 1 of 1 sent: 0 back, 1 failed/m);
  });

  it('that is slow takes twenty times as long for each phase', async () => {
    await start('slow', 'slow');
    expect(await run('deploy', 'slow-0', ...good())).toMatchObject({ status: 0 });
    expect(slept.get('slow-0')?.filter((ms) => ms === 20 * phaseMs)).toHaveLength(4);
  });

  it('with a wrong clock reports times of 1970 and commits', async () => {
    await start('old', 'clock');
    expect(await run('deploy', 'old-0', ...good())).toMatchObject({ status: 0 });
    expect((await seen('old-0')).report).toMatchObject({ at: 0, currentVersion: 1 });
  });

  it('that loses power in a deployment boots again and commits', async () => {
    await start('power', 'power');
    expect(await run('deploy', 'power-0', ...good())).toMatchObject({ status: 0 });
    const { report, presence } = await seen('power-0');
    expect(report).toMatchObject({ bootId: 'boot-2', currentVersion: 1 });
    expect(presence).toMatchObject({ up: true, bootId: 'boot-2' });
  });

  it('that is flapping loses its connection again and again, and commits', async () => {
    const fleet = await start('flap', 'flapping');
    expect(await run('deploy', 'flap-0', ...good())).toMatchObject({ status: 0 });
    await until(() => fleet.traffic.connections >= 3);
  });

  it('of a herd that is cut off reconnects as the others do', async () => {
    const fleet = await start('herd', undefined, 20);
    fleet.cutAll();
    // The first may be back before the last has noticed the loss.
    await until(() => fleet.traffic.connections >= 40 && fleet.traffic.connected === 20);
    expect(fleet.traffic.connections).toBe(40);
    const lines = JSON.parse(
      (await run('fleet', 'devices', '--prefix', 'herd-', '--json')).out,
    ) as DeviceLine[];
    expect(lines.map(({ link }) => link)).toEqual(Array.from({ length: 20 }, () => 'up'));
  });
});
