import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { startImageServer, type ImageServer } from '../../../../src/operator/dev/image-server.ts';
import { generateDeviceKey, generateKey } from '../../../../src/wire/trust/sign.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
let images: ImageServer;
const devices: FakeDevice[] = [];

const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const rollout = (...args: string[]): Promise<Run> => run('rollout', ...args);
const web = () => ['--run', `web=${at('web.aci')}`];
const planted = 'planted-7d1f0c3a';
const secret = () => ['--secret', `token=@${at('token')}`];
const done = { status: 0 };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-rollout-content-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await mkdir(at('fleet/images'), { recursive: true });
  images = await startImageServer({ directory: at('fleet/images'), host: '127.0.0.1', port: 0 });
  await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', images.url);
  await mkdir(at('root/bin'), { recursive: true });
  await writeFile(at('root/bin/web'), '#!/bin/sh\n');
  await chmod(at('root/bin/web'), 0o755);
  const made = ['--name', 'example.com/web', '--exec', '/bin/web', '-o', at('web.aci'), '--sign'];
  expect(await run('image', 'build', at('root'), ...made)).toMatchObject(done);
  await writeFile(at('token'), planted);
});

afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
});

afterAll(async () => {
  await images.close();
  await broker.close();
  await rm(directory, { recursive: true });
});

/** A device with a key of its own, which the operator has pinned. */
async function keyed(device: string): Promise<FakeDevice> {
  const { publicKey, privateKey } = await generateDeviceKey(device);
  await writeFile(at('device.asc'), publicKey);
  expect(await run('fleet', 'key', 'add', device, at('device.asc'))).toMatchObject(done);
  const one = new FakeDevice({ url: broker.url, fleet: 'harbour', device, key: privateKey }).start();
  devices.push(one);
  return one;
}

const valuesOf = ({ values }: FakeDevice): string[][] =>
  values.map((some) => some.map(({ value }) => Buffer.from(value).toString()));

/** Every file of the fleet directory, the database among them. */
async function stored(): Promise<Buffer> {
  const entries = await readdir(at('fleet'), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))));
}

describe('the commands of a rollout', () => {
  it('carry values of secrets to each device, and nothing stores them [C256]', async () => {
    const cranes = [await keyed('crane-1'), await keyed('crane-2')];
    const start = ['start', 'crane-1', 'crane-2', '--id', 'secret', ...web(), ...secret(), '--stage', '1'];
    expect(await rollout(...start, '--no-wait')).toMatchObject(done);
    expect((await stored()).includes(planted)).toBe(false);
    // Another process carries it out, which was never given the value.
    expect(await rollout('watch', 'secret')).toMatchObject({ status: 0, out: 'secret  complete\n' });
    expect(cranes.map(valuesOf)).toEqual([[[planted]], [[planted]]]);
    for (const { obeyed } of cranes) expect(obeyed[0]?.secrets).toMatchObject([{ name: 'token' }]);
    expect((await stored()).includes(planted)).toBe(false);
  });

  it('are refused before any is signed if a device has no key for a value [C256]', async () => {
    const refused = await rollout('start', 'crane-1', 'crane-8', 'crane-9', ...web(), ...secret());
    expect(refused).toMatchObject({ status: 70 });
    expect(refused.err).toMatch(/the key of crane-8 and of 1 more devices is not known/);
    expect(refused.err).not.toContain('signed for');
  });

  it('have a policy as those of deploy [C256]', async () => {
    const crane = await keyed('crane-3');
    const policy = ['--window', '0 2 * * *;4h;Europe/Berlin', '--force', '--broker-loss', 'roll-back'];
    expect(await rollout('start', 'crane-3', ...web(), ...policy)).toMatchObject(done);
    expect(crane.obeyed[0]?.policy).toMatchObject({
      activation: {
        when: 'window',
        windows: [{ cron: '0 2 * * *', durationSeconds: 14_400, timeZone: 'Europe/Berlin' }],
        force: true,
      },
      brokerLoss: 'roll-back',
    });
  });

  it('that undo it bring back secrets, and wait for no window or approval [C258]', async () => {
    const crane = await keyed('crane-4');
    const before = [...web(), ...secret(), '--activate', 'approval', '--broker-loss', 'roll-back'];
    expect(await run('deploy', 'crane-4', ...before)).toMatchObject(done);
    expect(await rollout('start', 'crane-4', '--id', 'undone', '--stop-all')).toMatchObject(done);
    expect(await rollout('undo', 'undone')).toMatchObject({ status: 0, out: 'undone  undone\n' });
    const [first, , last] = crane.obeyed;
    expect(last?.pods).toEqual(first?.pods);
    expect(last?.secrets).toEqual(first?.secrets);
    expect(first?.policy.activation).toEqual({ when: 'approval' });
    expect(last?.policy).toEqual({ ...first?.policy, activation: undefined });
    // The device has the values of its previous version.
    expect(valuesOf(crane)).toEqual([[planted], [], []]);
  });

  it('get the values of secrets once enough people have signed [C256]', async () => {
    const { publicKey, privateKey } = await generateKey({ name: 'bob' });
    await writeFile(at('bob.asc'), publicKey);
    await writeFile(at('bob.key.asc'), privateKey);
    const both = ['--deploy-key', at('fleet/keys/deploy.pub.asc'), '--deploy-key', at('bob.asc')];
    const root = ['--root-key', at('bob.asc'), ...both, '--deploy-threshold', '2'];
    expect(await run('trust', 'root', 'init', ...root)).toMatchObject(done);
    const bob = ['--signing-key', at('bob.key.asc')];
    expect(await run('trust', 'root', 'sign', ...bob)).toMatchObject(done);
    const crane = await keyed('crane-5');
    const start = ['start', 'crane-5', '--id', 'signed', ...web(), ...secret(), '--sign-only'];
    expect(await rollout(...start)).toMatchObject(done);
    await writeFile(at('other'), 'another value');
    for (const [given, code] of [
      [[], /names the secret token, .* give it again with --secret token=@FILE \(usage\)/],
      [['--secret', `token=@${at('other')}`], /was not signed with this value .*\(secret-mismatch\)/],
    ] as const)
      expect((await rollout('sign', 'signed', ...bob, ...given)).err).toMatch(code);
    const shown = await rollout('sign', 'signed', '--dry-run');
    expect(shown.out).toMatch(/1 of 1 devices run web \(.*\) with token\n/);
    expect(await rollout('sign', 'signed', ...bob, ...secret())).toMatchObject(done);
    expect(await rollout('watch', 'signed')).toMatchObject({ status: 0, out: 'signed  complete\n' });
    expect(valuesOf(crane)).toEqual([[planted]]);
    expect((await stored()).includes(planted)).toBe(false);
  });
});
