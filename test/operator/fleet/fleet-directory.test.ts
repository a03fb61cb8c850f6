import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetDirectory } from '../../../src/operator/fleet/fleet-directory.ts';
import { parseFleetConfig } from '../../../src/operator/fleet/fleet-config.ts';

const broker = '[broker]\nurl = "mqtt://127.0.0.1:1883"\n';
const images = '[images]\nbase_url = "http://127.0.0.1:8080/"\n';
const complete = `fleet = "harbour"\n${broker}${images}`;

describe('fleet.toml', () => {
  it('has defaults for missing keys', () => {
    expect(parseFleetConfig(complete)).toEqual({
      fleet: 'harbour',
      broker: { url: 'mqtt://127.0.0.1:1883', version: 4 },
      imagesUrl: 'http://127.0.0.1:8080',
      deploy: { validDays: 90, probationSeconds: 30, reconnectWindowSeconds: 60, limits: 'require' },
      groups: new Map(),
      rolloutDatabase: 'rollouts.db',
    });
  });

  it('[C225] lists the devices that receive the secrets of a group', () => {
    const { groups } = parseFleetConfig(`${complete}[groups]\nkitchen = ["crane-7", "crane-8"]\nroof = []\n`);
    expect([...groups]).toEqual([
      ['kitchen', ['crane-7', 'crane-8']],
      ['roof', []],
    ]);
  });

  it.each<[string, string, RegExp]>([
    ['an unknown key', `${complete}colour = "red"\n`, /images.colour is not known/],
    ['an unknown table', `${complete}[paint]\n`, /paint is not known/],
    [
      'another answer to the loss of a broker',
      `${complete}[deploy]\nbroker_loss = "keep"\n`,
      /deploy.broker_loss takes one of roll-back, ignore/,
    ],
    ['no fleet', broker + images, /fleet is missing/],
    ['no broker', `fleet = "harbour"\n${images}`, /broker.url is missing/],
    [
      'a fleet name that cannot be in a topic',
      complete.replace('harbour', 'a/b'),
      /fleet takes lower-case words/,
    ],
    ['another kind of broker', complete.replace('mqtt:', 'http:'), /broker.url takes mqtt/],
    [
      'a number out of range',
      `${complete}[deploy]\nprobation_seconds = -1\n`,
      /deploy.probation_seconds takes a whole number/,
    ],
    [
      'more devices of a group than a message can be for',
      `${complete}[groups]\nkitchen = [${Array.from({ length: 513 }, (_, at) => `"crane-${at}"`).join()}]\n`,
      /groups.kitchen takes a list of at most 512 different names/,
    ],
    [
      'a device twice in a group',
      `${complete}[groups]\nkitchen = ["a", "a"]\n`,
      /groups.kitchen takes a list/,
    ],
    [
      'a group that cannot be in a topic',
      `${complete}[groups]\n"a/+" = ["a"]\n`,
      /groups.a\/\+ is not known/,
    ],
    ['something else than TOML', 'fleet = ', /fleet.toml: line 1/],
  ])('is refused with %s', (_name, toml, problem) => {
    expect(() => parseFleetConfig(toml)).toThrow(problem);
  });
});

it('keeps pods under which a device loses its broker where the fleet says so', () => {
  const lossOf = (toml: string) => parseFleetConfig(toml).deploy.brokerLoss;
  expect(lossOf(complete)).toBeUndefined();
  expect(lossOf(`${complete}[deploy]\nbroker_loss = "ignore"\n`)).toBe('ignore');
});

describe('a fleet directory', () => {
  let path: string;
  let fleet: FleetDirectory;

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'wherry-fleet-'));
    fleet = await FleetDirectory.init(join(path, 'fleet'), {
      fleet: 'harbour',
      brokerUrl: 'mqtt://127.0.0.1:1883',
      imagesUrl: 'http://127.0.0.1:8080',
    });
  });
  afterEach(async () => {
    await rm(path, { recursive: true });
  });

  it('does not replace another one', async () => {
    const options = { fleet: 'other', brokerUrl: 'mqtt://x', imagesUrl: 'http://x' };
    await expect(FleetDirectory.init(fleet.path, options)).rejects.toThrow(/holds a fleet already/);
    await expect(FleetDirectory.open(join(path, 'nowhere'))).rejects.toThrow(/wherry fleet init/);
  });

  it('keeps private keys to their owner and never replaces them by accident', async () => {
    const pair = { privateKey: 'one', publicKey: 'public one' };
    await fleet.saveKeys('deploy', pair, { replace: false });
    const file = fleet.keyPath('deploy', 'private');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const other = { privateKey: 'two', publicKey: 'public two' };
    await expect(fleet.saveKeys('deploy', other, { replace: false })).rejects.toThrow(/on purpose/);
    await fleet.saveKeys('deploy', other, { replace: true });
    expect(await fleet.key('deploy', 'public')).toBe('public two');
    expect(await readFile(`${file}.old`, 'utf8')).toBe('one');
    await expect(fleet.key('images', 'private')).rejects.toThrow(/wherry keys new images/);
  });

  it('stores the exact bytes and the outcome of each version', async () => {
    await fleet.claim('crane-7', 1, Buffer.from('one'));
    await fleet.claim('crane-7', 10, Buffer.from('ten'));
    await fleet.claim('crane-7', 9, Buffer.from('nine'));
    await fleet.recordOutcome('crane-7', 9, 'committed');
    expect(await fleet.history('crane-7')).toEqual([
      { version: 1 },
      { version: 9, outcome: 'committed' },
      { version: 10 },
    ]);
    expect(Buffer.from(await fleet.envelope('crane-7', 10)).toString()).toBe('ten');
    expect(await fleet.devices()).toEqual(['crane-7']);
    await expect(fleet.envelope('crane-7', 2)).rejects.toThrow(/never published/);
  });

  it('accepts outcomes of several processes at once, and keeps one of them whole', async () => {
    await fleet.claim('crane-7', 1, Buffer.from('one'));
    const outcomes = ['committed', 'rolled-back', 'refused'] as const;
    const many = Array.from({ length: 30 }, (_, index) => outcomes[index % 3] ?? 'unsent');
    await Promise.all(many.map((outcome) => fleet.recordOutcome('crane-7', 1, outcome)));
    expect(outcomes).toContain((await fleet.history('crane-7'))[0]?.outcome);
    expect(readdirSync(join(fleet.path, 'devices/crane-7')).sort()).toEqual(['1.cbor', '1.outcome']);
  });

  it('assigns a version to one operator only', async () => {
    const claims = await Promise.allSettled([
      fleet.claim('crane-7', 1, Buffer.from('mine')),
      fleet.claim('crane-7', 1, Buffer.from('theirs')),
    ]);
    expect(claims.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('contains no part of a version whose writer is killed', async () => {
    const source = import.meta.resolve('../../../src/operator/fleet/fleet-directory.ts');
    const directory = join(fleet.path, 'devices/crane-8');
    mkdirSync(directory, { recursive: true });
    const program = `
      import { Worker } from 'node:worker_threads';
      import { FleetDirectory } from ${JSON.stringify(source)};
      process.chdir(${JSON.stringify(directory)});
      const fleet = await FleetDirectory.open(${JSON.stringify(fleet.path)});
      const message = Buffer.alloc(256 * 2 ** 20, 1);
      const watch = \`
        const { readdirSync, statSync } = require('node:fs');
        require('node:worker_threads').parentPort.postMessage('watching');
        while (readdirSync('.').every((name) => statSync(name).size === 0));
        process.kill(process.pid, 'SIGKILL');\`;
      const worker = new Worker(watch, { eval: true, execArgv: [] });
      await new Promise((resolve) => worker.once('message', resolve));
      await fleet.claim('crane-8', 1, message);
      process.exit(0);`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    expect(readdirSync(directory)).not.toEqual([]);
    expect(await fleet.history('crane-8')).toEqual([]);
    await fleet.claim('crane-8', 1, Buffer.from('one'));
    expect(Buffer.from(await fleet.envelope('crane-8', 1)).toString()).toBe('one');
  });

  it('refuses a device name that would lead out of its directory', async () => {
    await expect(fleet.history('../keys')).rejects.toThrow(/device name/);
  });

  it('reads the files that fleet.toml names for the broker, and names a missing one', async () => {
    const toml = complete.replace(images, `username = "me"\npassword_file = "secret"\n${images}`);
    await writeFile(join(fleet.path, 'fleet.toml'), toml);
    const reopened = await FleetDirectory.open(fleet.path);
    await expect(reopened.brokerAddress()).rejects.toThrow(/the file secret cannot be read/);
    await writeFile(join(fleet.path, 'secret'), 'hush\n');
    const address = { url: 'mqtt://127.0.0.1:1883', version: 4, username: 'me', password: 'hush' };
    expect(await reopened.brokerAddress()).toEqual(address);
  });
});
