import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../src/cli/main.ts';
import { parseFaults, SimulatedFleet } from '../../src/device/simulated/index.ts';
import { recordingTerminal, wherry, type Run } from './recording-terminal.ts';
import { systemClock } from './system-clock.ts';

/** The output of `wherry rollout show --json`, as far as tests use it. */
export interface ShownRollout {
  readonly phase: string;
  readonly waves: readonly { readonly size: number; readonly sent: number; readonly good: number }[];
  readonly undone?: number;
}

/** Creates `fleet`, `good.aci` and `bad.aci` in a directory. */
export async function makeRolloutFleet(directory: string, url: string, windowSeconds: number): Promise<void> {
  const at = (...names: string[]): string => join(directory, ...names);
  const run = async (...args: string[]): Promise<void> => {
    const { status, err } = await wherry(['--fleet', at('fleet'), ...args]);
    if (status !== 0) throw new Error(err);
  };
  await run('fleet', 'init', 'harbour', '--broker', url, '--images', 'http://127.0.0.1:9');
  const toml = await readFile(at('fleet/fleet.toml'), 'utf8');
  const wanted = `reconnect_window_seconds = ${windowSeconds}`;
  await writeFile(at('fleet/fleet.toml'), toml.replace(/^# reconnect_window_seconds = 60/m, wanted));
  await mkdir(at('root/bin'), { recursive: true });
  await writeFile(at('root/bin/web'), '#!/bin/sh\n');
  await chmod(at('root/bin/web'), 0o755);
  for (const name of ['good', 'bad']) {
    const made = ['--name', `example.com/${name}`, '--exec', '/bin/web', '-o', at(`${name}.aci`), '--sign'];
    await run('image', 'build', at('root'), ...made);
  }
}

/**
 * Devices wait up to ten minutes between two attempts to connect. The test does not wait so long
 * for the last one of a broker that takes minutes to start.
 */
const longestMs = 30_000;

/** A fleet directory with a good and a bad image, and simulated devices on a broker. */
export class SimulatedRollouts {
  readonly devices: SimulatedFleet;
  readonly #directory: string;

  private constructor(directory: string, devices: SimulatedFleet) {
    this.#directory = directory;
    this.devices = devices;
  }

  /**
   * @param urls of the nodes; the operator uses the first, the devices begin with one each in turn
   */
  static async make(urls: readonly string[], count: number, phaseMs: number): Promise<SimulatedRollouts> {
    const directory = await mkdtemp(join(tmpdir(), 'wherry-rollouts-'));
    const at = (...names: string[]): string => join(directory, ...names);
    const [url = '', ...others] = urls;
    await makeRolloutFleet(directory, url, 1);
    const devices = new SimulatedFleet({
      fleet: 'harbour',
      brokers: [{ url, version: 4 }, ...others.map((other) => ({ url: other, version: 4 as const }))],
      keys: [await readFile(at('fleet/keys/deploy.pub.asc'), 'utf8')],
      clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, longestMs), signal) },
      count,
      prefix: 'sim',
      faults: parseFaults([]),
      seed: '1',
      badImage: 'example.com/bad',
      phaseMs,
      reconnectWindowSeconds: 1,
      startsPerSecond: 500,
    });
    return new SimulatedRollouts(directory, devices);
  }

  run(...args: string[]): Promise<Run> {
    return wherry(['--fleet', join(this.#directory, 'fleet'), ...args]);
  }

  async shown(id: string): Promise<ShownRollout> {
    return JSON.parse((await this.run('rollout', 'show', id, '--json')).out) as ShownRollout;
  }

  /** Starts a rollout of the good or the bad image; `ended` has its exit status. */
  start(
    id: string,
    image: 'good' | 'bad',
    flags: readonly string[],
  ): { said: () => string; ended: Promise<number> } {
    const { terminal, err } = recordingTerminal();
    const content = ['--run', `web=${join(this.#directory, `${image}.aci`)}`];
    const args = [
      '--fleet',
      join(this.#directory, 'fleet'),
      'rollout',
      'start',
      '--id',
      id,
      ...content,
      ...flags,
    ];
    return { said: err, ended: main(args, {}, terminal) };
  }

  async end(): Promise<void> {
    await this.devices.close();
    await rm(this.#directory, { recursive: true });
  }
}
