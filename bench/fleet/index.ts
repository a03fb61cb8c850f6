import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerUnderTest } from '../../test/brokers/broker-under-test.ts';
import { makeRolloutFleet, type ShownRollout } from '../../test/support/simulated-rollouts.ts';
import { formatTable, judge, type Measurement } from '../table.ts';
import { fleetBrokers, isFleetBroker, makeFleetBroker } from './broker.ts';
import { attemptsAfterRestart } from './herd.ts';
import { type Devices, Programs, ran, type Ran } from './programs.ts';

export interface FleetRequest {
  /**
   * Numbers of devices, one run each. The cost of a device is compared with that in the first run.
   */
  readonly counts: readonly number[];
  readonly broker: string;
  readonly json: boolean;
  readonly say: (sentence: string) => void;
}

/** The time over which devices spread their reconnects: the default of a fleet. */
const windowSeconds = 60;
const stages = ['--stage', '1%', '--stage', '10%', '--stage', '50%', '--soak', '0s'];
const errors = ['--errors', '5'];
/** Time limit of a rollout to thousands of devices on a busy machine, in milliseconds. */
const patienceMs = 1_800_000;

/**
 * Rollouts to simulated devices: a good one, its undoing, one that halts, and a restart of the
 * broker.
 */
export async function benchFleet({ counts, broker, json, say }: FleetRequest): Promise<number> {
  if (!isFleetBroker(broker)) throw new Error(`--broker takes ${fleetBrokers.join(', ')}`);
  const rows: Measurement[] = [];
  let first: Costs | undefined;
  for (const count of counts) {
    const directory = await mkdtemp(join(tmpdir(), 'wherry-fleet-'));
    const under = await makeFleetBroker(broker);
    try {
      say(`starting ${broker}`);
      await under.start();
      const run = new FleetRun(directory, under, count, say);
      const costs = await run.measure();
      rows.push(...run.rows);
      if (first !== undefined)
        rows.push({
          name: `${count} devices on ${broker}: controller, processor ms for each device; peer: at ${first.count}`,
          ours: costs.controllerMs,
          peer: first.controllerMs,
          bound: 1.1,
        });
      first ??= costs;
    } finally {
      await under.end();
      await rm(directory, { recursive: true, force: true });
    }
  }
  const judged = rows.map(judge);
  process.stdout.write(json ? `${JSON.stringify(judged)}\n` : `${formatTable(judged)}\n`);
  return 0;
}

interface Costs {
  readonly count: number;
  readonly controllerMs: number;
}

class FleetRun {
  readonly rows: Measurement[] = [];
  readonly #directory: string;
  readonly #broker: BrokerUnderTest;
  readonly #count: number;
  readonly #say: (sentence: string) => void;

  constructor(directory: string, broker: BrokerUnderTest, count: number, say: (sentence: string) => void) {
    this.#directory = directory;
    this.#broker = broker;
    this.#count = count;
    this.#say = say;
  }

  async measure(): Promise<Costs> {
    const { urls } = this.#broker;
    await makeRolloutFleet(this.#directory, urls[0] ?? '', windowSeconds);
    await writeFile(
      this.#names,
      Array.from({ length: this.#count }, (_, index) => `sim-${index}\n`).join(''),
    );
    const programs = await Programs.make(this.#directory);
    this.#say(`starting ${this.#count} devices`);
    const args = [
      ...[String(this.#count), '--bad-image', 'example.com/bad'],
      ...urls.flatMap((url) => ['--broker', url]),
    ];
    const devices = programs.devices(args);
    try {
      await devices.until(({ connected }) => connected === this.#count, patienceMs);
      const controllerMs = await this.#goodRollout(programs, devices);
      await this.#undo(programs);
      await this.#badRollout(programs);
      if (urls.length === 1) await this.#status(programs, urls[0] ?? '');
      await this.#restart(devices);
      return { count: this.#count, controllerMs };
    } finally {
      await devices.end();
    }
  }

  async #goodRollout(programs: Programs, devices: Devices): Promise<number> {
    const before = await devices.settled();
    this.#row('memory of a simulated device before the rollout, KB', before.bytesPerDevice / 1024);
    const signed = await this.#run(programs, 0, 'rollout', 'start', '--no-wait', ...this.#content('good'));
    this.#row('signing, processor ms for each device', (1000 * signed.processorSeconds) / this.#count);
    const watched = await this.#run(programs, 0, 'rollout', 'watch', 'good');
    const after = await devices.settled();
    const per = (key: 'sentMessages' | 'sentBytes' | 'receivedMessages' | 'receivedBytes'): number =>
      (after[key] - before[key]) / this.#count;
    this.#row('messages that a device sends in a rollout', per('sentMessages'));
    this.#row('messages that a device receives', per('receivedMessages'));
    this.#row('bytes of topics and payloads that a device sends', per('sentBytes'));
    this.#row('bytes that it receives', per('receivedBytes'));
    this.#row('memory of a simulated device after the rollout, KB', after.bytesPerDevice / 1024);
    const controllerMs = (1000 * watched.processorSeconds) / this.#count;
    this.#row('controller, processor ms for each device', controllerMs);
    this.#row('controller, most memory, MB', watched.mostMemoryMb);
    this.#row('from the start to the end of the rollout, s', watched.wallSeconds);
    const shown = await this.#shown(programs, 'good');
    this.#row('devices that committed', sum(shown, 'good'));
    for (const [index, ms] of gapsOf(shown).entries())
      this.#row(`from the last answer of wave ${index + 1} to the mark of wave ${index + 2}, ms`, ms);
    return controllerMs;
  }

  async #undo(programs: Programs): Promise<void> {
    const undone = await this.#run(programs, 0, 'rollout', 'undo', 'good');
    this.#row('devices that went back in an undoing', (await this.#shown(programs, 'good')).undone ?? 0);
    this.#row('from the start to the end of the undoing, s', undone.wallSeconds);
  }

  async #badRollout(programs: Programs): Promise<void> {
    await this.#run(programs, 65, 'rollout', 'start', '--no-undo', ...this.#content('bad'));
    const shown = await this.#shown(programs, 'bad');
    this.#row('waves that a bad rollout touched', shown.waves.filter(({ sent }) => sent > 0).length);
    this.#row('devices that it touched', sum(shown, 'sent'));
  }

  async #status(programs: Programs, url: string): Promise<void> {
    const { hostname, port } = new URL(url);
    const kinds = ['reported', 'live'].flatMap((kind) => ['-t', `v1/harbour/d/+/${kind}`]);
    // With QoS 1, Mosquitto queues 1,000 messages for a client and drops the others.
    const peer = await ran('/usr/bin/mosquitto_sub', [
      ...['-h', hostname, '-p', port, '-W', '120', '-N', '-C', String(2 * this.#count), ...kinds],
    ]);
    const ours = await this.#run(programs, 0, 'fleet', 'status');
    this.rows.push({
      name: `${this.#count} devices: wherry fleet status, s; peer: mosquitto_sub of the same messages`,
      ours: ours.wallSeconds,
      peer: peer.wallSeconds,
      bound: 2,
    });
    this.#row('wherry fleet status, processor s', ours.processorSeconds);
  }

  async #restart(devices: Devices): Promise<void> {
    this.#say('restarting the broker');
    const { urls } = this.#broker;
    const settled = await devices.settled();
    await Promise.all(urls.map((_, node) => this.#broker.kill(node)));
    await this.#broker.start();
    await devices.until(({ connected }) => connected < this.#count, patienceMs);
    await devices.until(({ connected }) => connected === this.#count, patienceMs);
    const spread = attemptsAfterRestart(devices.lines, settled, this.#count, windowSeconds);
    this.#row('restart of the broker: devices for each second of the window', this.#count / windowSeconds);
    this.#row('attempts per second, least of five seconds in the window', spread.least);
    this.#row('attempts per second, most of five seconds in the window', spread.most);
    this.#row('attempts for each device until all were back', spread.perDevice);
    this.#row('until all were back, s', spread.seconds);
  }

  async #run(programs: Programs, status: number, ...args: readonly string[]): Promise<Ran> {
    this.#say(`wherry ${args.slice(0, 3).join(' ')} …`);
    const run = await programs.wherry(...args);
    if (run.status !== status)
      throw new Error(`wherry ${args.join(' ')} ended with ${run.status}: ${run.err.slice(-2000)}`);
    return run;
  }

  async #shown(programs: Programs, id: string): Promise<Shown> {
    return JSON.parse(
      (await this.#run(programs, 0, 'rollout', 'show', id, '--devices', '--json')).out,
    ) as Shown;
  }

  get #names(): string {
    return join(this.#directory, 'devices.txt');
  }

  #content(id: 'good' | 'bad'): readonly string[] {
    // Not --all: RabbitMQ returns no retained reports for wildcards.
    return [
      '--devices-from',
      this.#names,
      '--id',
      id,
      '--run',
      `web=${join(this.#directory, `${id}.aci`)}`,
      ...stages,
      ...errors,
    ];
  }

  #row(what: string, value: number): void {
    this.#say(`  ${what}: ${value.toFixed(2)}`);
    this.rows.push({ name: `${this.#count} devices: ${what}`, ours: value });
  }
}

interface Shown extends ShownRollout {
  readonly members: readonly {
    readonly wave: number;
    readonly sentAtMs?: number;
    readonly answer?: { readonly atMs: number };
  }[];
}

function sum({ waves }: Shown, key: 'good' | 'sent'): number {
  return waves.reduce((total, wave) => total + wave[key], 0);
}

/** Milliseconds between the last answer of a wave and the first command of the next. */
function gapsOf({ waves, members }: Shown): readonly number[] {
  return waves.slice(1).map((_, index) => {
    let answered = 0;
    let sent = Infinity;
    for (const { wave, answer, sentAtMs } of members) {
      if (wave === index) answered = Math.max(answered, answer?.atMs ?? 0);
      if (wave === index + 1) sent = Math.min(sent, sentAtMs ?? Infinity);
    }
    return sent - answered;
  });
}
