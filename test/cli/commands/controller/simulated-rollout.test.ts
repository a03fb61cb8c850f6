import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../../../src/cli/main.ts';
import { parseFaults, SimulatedFleet } from '../../../../src/device/simulated/index.ts';
import { hasMosquitto, mosquittoBroker, type Mosquitto } from '../../../support/real-brokers.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';
import { systemClock, until } from '../../../support/system-clock.ts';

/** More of them by hand: WHERRY_SIM_DEVICES=2000. */
const count = Number(process.env['WHERRY_SIM_DEVICES'] ?? 50);

interface Wave {
  readonly size: number;
  readonly sent: number;
  readonly good: number;
}
interface Shown {
  readonly phase: string;
  readonly waves: readonly Wave[];
  readonly undone?: number;
}

describe.skipIf(!hasMosquitto)(`a rollout to ${count} simulated devices on Mosquitto`, () => {
  let directory: string;
  let broker: Mosquitto;
  let devices: SimulatedFleet;
  const at = (...names: string[]): string => join(directory, ...names);
  const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
  const rollout = (...args: string[]): Promise<Run> => run('rollout', ...args);
  const runs = (name: string): string[] => ['--run', `web=${at(`${name}.aci`)}`];
  const stages = ['--stage', '2', '--stage', '20%', '--stage', '50%'];
  const shown = async (id: string): Promise<Shown> =>
    JSON.parse((await rollout('show', id, '--json')).out) as Shown;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-sim-'));
    broker = await mosquittoBroker();
    await broker.start();
    await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', 'http://127.0.0.1:9');
    // Disconnected devices return within a second.
    const toml = await readFile(at('fleet/fleet.toml'), 'utf8');
    await writeFile(
      at('fleet/fleet.toml'),
      toml.replace(/^# reconnect_window_seconds = 60/m, 'reconnect_window_seconds = 1'),
    );
    await mkdir(at('root/bin'), { recursive: true });
    await writeFile(at('root/bin/web'), '#!/bin/sh\n');
    await chmod(at('root/bin/web'), 0o755);
    for (const name of ['good', 'bad']) {
      const made = ['--name', `example.com/${name}`, '--exec', '/bin/web', '-o', at(`${name}.aci`), '--sign'];
      expect(await run('image', 'build', at('root'), ...made)).toMatchObject({ status: 0 });
    }
    devices = new SimulatedFleet({
      fleet: 'harbour',
      brokers: [{ url: broker.url, version: 4 }],
      keys: [await readFile(at('fleet/keys/deploy.pub.asc'), 'utf8')],
      clock: systemClock,
      count,
      prefix: 'sim',
      // Flapping devices wait longer each time, like real ones, so they run only by hand.
      faults: parseFaults(['slow=5%', 'clock=10%', 'power=10%', `flapping=${count > 50 ? 5 : 0}%`]),
      seed: '1',
      badImage: 'example.com/bad',
      phaseMs: 30,
      reconnectWindowSeconds: 1,
      startsPerSecond: 500,
    });
    await devices.start();
    await until(() => devices.traffic.connected >= count * 0.9);
  }, 600_000);

  afterAll(async () => {
    await devices.close();
    await broker.kill();
    await rm(directory, { recursive: true });
  });

  it('completes, even if the herd is cut off and another controller takes over', async () => {
    const { terminal, err, stop } = recordingTerminal();
    const args = [
      '--fleet',
      at('fleet'),
      'rollout',
      'start',
      '--all',
      '--id',
      'spring',
      ...runs('good'),
      ...stages,
    ];
    const watching = main(args, {}, terminal);
    await until(() => err().includes('sending wave 2'));
    stop();
    await watching;
    expect((await shown('spring')).phase).toBe('running');
    const verified = devices.verified;
    devices.cutAll();
    expect(await rollout('watch', 'spring')).toMatchObject({ status: 0, out: 'spring  complete\n' });
    const { waves } = await shown('spring');
    expect(waves.reduce((sum, { good }) => sum + good, 0)).toBe(count);
    expect(devices.verified).toBeGreaterThan(verified);
  }, 600_000);

  it('halts in one wave if it is bad, and is undone', async () => {
    const halted = await rollout(
      'start',
      '--all',
      '--id',
      'broken',
      ...runs('bad'),
      ...stages,
      '--errors',
      '10',
    );
    expect(halted.status).toBe(65);
    expect(halted.err).toContain('of wave 1 failed');
    const { waves } = await shown('broken');
    expect(waves.map(({ sent }) => sent)).toEqual([2, ...waves.slice(1).map(() => 0)]);
    const undone = await rollout('undo', 'broken', '--json');
    expect(undone.status).toBe(0);
    expect(JSON.parse(undone.out)).toMatchObject({ phase: 'undone', undone: 2 });
    // Every device runs the good image, and none reports the bad one.
    expect((await run('status')).out).not.toMatch(/unhealthy/);
  }, 600_000);
});
