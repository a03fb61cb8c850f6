import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
const devices: FakeDevice[] = [];

const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
const at = (...names: string[]): string => join(directory, ...names);
const read = (text: string): unknown => JSON.parse(text);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-group-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', 'http://127.0.0.1:9');
  await mkdir(at('root/bin'), { recursive: true });
  await writeFile(at('root/bin/web'), '#!/bin/sh\n');
  await chmod(at('root/bin/web'), 0o755);
  const labels = [{ name: 'site', value: 'pier 4' }];
  const options = { url: broker.url, fleet: 'harbour' };
  devices.push(
    new FakeDevice({ ...options, device: 'crane-1', groups: ['kitchen'], labels }).start(),
    new FakeDevice({ ...options, device: 'crane-2', groups: ['roof', 'kitchen'] }).start(),
    new FakeDevice({ ...options, device: 'crane-3' }).start(),
  );
});

afterAll(async () => {
  for (const device of devices) await device.close();
  await broker.close();
  await rm(directory, { recursive: true });
});

describe('commands for a group', () => {
  it('[C174] reach its members with one message, and are followed on each of them', async () => {
    const sent = await run('--json', 'deploy', '--group', 'kitchen', '--stop-all');
    expect(sent).toMatchObject({ status: 0 });
    expect(read(sent.out)).toMatchObject([
      { device: 'crane-1', version: 1, phase: 'committed' },
      { device: 'crane-2', version: 1, phase: 'committed' },
    ]);
    expect(devices.map(({ obeyed }) => obeyed.length)).toEqual([1, 1, 0]);
    const status = await run('--json', 'fleet', 'status', '--group', 'kitchen');
    expect(read(status.out)).toMatchObject({
      devices: 2,
      versions: [{ value: 'kitchen:1', devices: 2 }],
      groups: [
        { value: 'kitchen', devices: 2 },
        { value: 'roof', devices: 1 },
      ],
    });
    const labelled = await run('--json', 'fleet', 'devices', '--label', 'site=pier 4');
    expect(read(labelled.out)).toMatchObject([{ device: 'crane-1', group: 'kitchen', version: 1 }]);
  });

  it('[C174] count their versions apart from those of devices', async () => {
    const own = await run('--json', 'deploy', 'crane-1', '--stop-all');
    expect(read(own.out)).toMatchObject([{ device: 'crane-1', version: 1, phase: 'committed' }]);
    const again = await run('--json', 'deploy', '--group', 'kitchen', '--stop-all', '--no-wait');
    expect(read(again.out)).toMatchObject([{ device: '@kitchen', version: 2, kept: true }]);
  });

  it('[C177] are left to again by a withdrawal, which brings no pods along', async () => {
    const sent = await run('--json', 'deploy', 'crane-1', '--withdraw');
    expect(read(sent.out)).toMatchObject([{ device: 'crane-1', version: 2, phase: 'committed' }]);
    expect(devices[0]?.obeyed.at(-1)).toMatchObject({ withdrawn: true, pods: [], images: [] });
  });

  it('[C174] say so when no device is in the group', async () => {
    const sent = await run('deploy', '--group', 'cellar', '--stop-all');
    expect(sent).toMatchObject({ status: 0 });
    expect(sent.err).toContain('version 1 of the group cellar is published; no device reports to be in it');
  });

  it.each([
    [['deploy', '--stop-all'], 'say which devices to command, or --group NAME'],
    [
      ['deploy', 'crane-1', '--group', 'kitchen', '--stop-all'],
      'say which devices to command, or --group NAME',
    ],
    [['deploy', '--group', 'kitchen/+', '--stop-all'], 'is not the name of a group'],
    [['deploy', 'crane-1', '--stop-all', '--withdraw'], '--withdraw to leave it to the groups'],
  ])('are not made of %j', async (args, message) => {
    const made = await run(...args);
    expect(made.status).toBe(64);
    expect(made.err).toContain(message);
  });

  it('[C236] are rolled back to the last version that no device refused', async () => {
    const options = { url: broker.url, fleet: 'harbour', groups: ['galley'] };
    const bad = { code: 'no-space', message: 'the disk is full' };
    const galley = [
      new FakeDevice({ ...options, device: 'crane-4' }).start(),
      new FakeDevice({
        ...{ ...options, device: 'crane-5' },
        decide: ({ version }) => (version === 2 ? bad : undefined),
      }).start(),
    ];
    devices.push(...galley);
    const deploy = (probation: number) =>
      run('deploy', '--group', 'galley', '--stop-all', '--probation', String(probation));
    expect(await run('rollback', '--group', 'galley')).toMatchObject({ status: 64 });
    expect(await deploy(11)).toMatchObject({ status: 0 });
    expect(await deploy(22)).toMatchObject({ status: 70 });
    expect(await run('deploy', '--group', 'galley', '--withdraw')).toMatchObject({ status: 0 });
    expect(await deploy(44)).toMatchObject({ status: 0 });
    const back = await run('--json', 'rollback', '--group', 'galley');
    expect(read(back.out)).toMatchObject([
      { device: 'crane-4', version: 5, phase: 'committed' },
      { device: 'crane-5', version: 5, phase: 'committed' },
    ]);
    expect(back.err).toContain('@galley: version 5 runs the pods of version 1 again');
    const probations = galley.map(({ obeyed }) => obeyed.at(-1)?.policy.probationSeconds);
    expect(probations).toEqual([11, 11]);
    const to = await run('rollback', '--group', 'galley', '--to', '4');
    expect(to.err).toContain('@galley: version 6 runs the pods of version 4 again');
    expect(await run('rollback', 'crane-4', '--group', 'galley')).toMatchObject({ status: 64 });
  });

  it('carry no secrets', async () => {
    await writeFile(at('value'), 'x');
    const made = await run('deploy', '--group', 'kitchen', '--stop-all', '--secret', `a=@${at('value')}`);
    expect(made).toMatchObject({ status: 64 });
    expect(made.err).toContain('a command for a group is not encrypted');
  });
});
