import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseFaults, SimulatedFleet } from '../../../../src/device/simulated/index.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { isInShare } from '../../../../src/wire/trust/index.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';
import { systemClock, until } from '../../../support/system-clock.ts';

/** More of them by hand: WHERRY_SIM_DEVICES=2000. */
const count = Number(process.env['WHERRY_SIM_DEVICES'] ?? 40);
const inside = Array.from({ length: count }, (_, index) => `sim-${index}`).filter((device) =>
  isInShare({ from: 0, to: 19_661 }, 'harbour', device),
).length;

describe(`a group of ${count} simulated devices`, () => {
  let directory: string;
  let broker: EmbeddedBroker;
  let devices: SimulatedFleet;
  const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
  const deploy = (...more: string[]): Promise<Run> =>
    run('--json', 'deploy', '--group', 'kitchen', '--stop-all', ...more);
  const versions = async (): Promise<unknown> => {
    const { out } = await run('--json', 'fleet', 'status', '--group', 'kitchen');
    return (JSON.parse(out) as { versions: unknown }).versions;
  };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-sim-group-'));
    broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
    await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', 'http://127.0.0.1:9');
    devices = new SimulatedFleet({
      fleet: 'harbour',
      brokers: [{ url: broker.url, version: 4 }],
      keys: [await readFile(join(directory, 'fleet/keys/deploy.pub.asc'), 'utf8')],
      clock: systemClock,
      count,
      prefix: 'sim',
      group: 'kitchen',
      faults: parseFaults([]),
      seed: '1',
      phaseMs: 30,
      reconnectWindowSeconds: 1,
      startsPerSecond: 500,
    });
    await devices.start();
    await until(() => devices.traffic.connected === count);
  });

  afterAll(async () => {
    await devices.close();
    await broker.close();
    await rm(directory, { recursive: true });
  });

  it('[C228] obeys a share in part, and as a whole again once the share is undone', async () => {
    await expect.poll(versions).toEqual([{ value: '0', devices: count }]);
    expect(await deploy()).toMatchObject({ status: 0 });
    await expect.poll(versions).toEqual([{ value: 'kitchen:1', devices: count }]);

    const canaries = await deploy('--share', '30%');
    expect(canaries).toMatchObject({ status: 0 });
    expect(canaries.err).toContain(`${inside} of ${count} known devices`);
    expect(JSON.parse(canaries.out)).toHaveLength(inside);
    await expect.poll(versions).toEqual([
      { value: 'kitchen:1', devices: count - inside },
      { value: 'kitchen:2', devices: inside },
    ]);

    const undone = await run('--json', 'rollback', '--group', 'kitchen');
    expect(undone).toMatchObject({ status: 0 });
    await expect.poll(versions).toEqual([{ value: 'kitchen:3', devices: count }]);
  });

  it('[C175] follows its own command, and the group again after it', async () => {
    expect(await run('deploy', 'sim-0', '--stop-all')).toMatchObject({ status: 0 });
    const passed = await deploy();
    await expect.poll(versions).toContainEqual({ value: 'kitchen:4', devices: count - 1 });
    expect(passed.status).toBe(77);
    expect(passed.err).toMatch(/sim-0 passed the command over: .*has precedence \(passed-over\)\n$/);
    expect(await run('deploy', 'sim-0', '--withdraw')).toMatchObject({ status: 0 });
    await expect.poll(versions).toEqual([{ value: 'kitchen:4', devices: count }]);
  });
});
