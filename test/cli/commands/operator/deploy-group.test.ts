import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import type { Refusal } from '../../../../src/core/refusal/index.ts';
import { decodeMessage } from '../../../../src/wire/trust/index.ts';
import { decryptMessage } from '../../../../src/wire/trust/openpgp.ts';
import { generateDeviceKey } from '../../../../src/wire/trust/sign.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
const devices: FakeDevice[] = [];

const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
const at = (...names: string[]): string => join(directory, ...names);
const read = (text: string): unknown => JSON.parse(text);

/** Waits until the broker has the reports of all members. */
const reported = (group: string, members: number): Promise<void> =>
  expect
    .poll(async () => (await run('--json', 'fleet', 'status', '--group', group)).out)
    .toContain(`"devices":${members},`);

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

  it('[C177] apply again after a withdrawal, which contains no pods', async () => {
    const sent = await run('--json', 'deploy', 'crane-1', '--withdraw');
    expect(read(sent.out)).toMatchObject([{ device: 'crane-1', version: 2, phase: 'committed' }]);
    expect(devices[0]?.obeyed.at(-1)).toMatchObject({ withdrawn: true, pods: [], images: [] });
  });

  it('[C174] report that no device is in the group', async () => {
    const sent = await run('deploy', '--group', 'cellar', '--stop-all');
    expect(sent).toMatchObject({ status: 0 });
    expect(sent.err).toContain('version 1 of the group cellar is published; no device reports to be in it');
  });

  it.each([
    [['deploy', '--stop-all'], 'name either the devices to command, or a group with --group NAME'],
    [
      ['deploy', 'crane-1', '--group', 'kitchen', '--stop-all'],
      'name either the devices to command, or a group with --group NAME',
    ],
    [['deploy', '--group', 'kitchen/+', '--stop-all'], 'is not the name of a group'],
    [['deploy', 'crane-1', '--share', '10%', '--stop-all'], '--share is a share of a group'],
    [['deploy', '--group', 'kitchen', '--share', '10', '--stop-all'], '--share takes a percentage'],
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
    await reported('galley', 2);
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

  it('[C229] for a share are followed on its devices, and undone for all', async () => {
    // Their places in per cent: crane-10 4.9, crane-13 76.5, crane-15 85.1.
    const options = { url: broker.url, fleet: 'harbour', groups: ['deck'] };
    const deck = ['crane-10', 'crane-13'].map((device) => new FakeDevice({ ...options, device }).start());
    devices.push(...deck);
    const deploy = (probation: number, ...more: string[]) =>
      run(
        ...['--json', 'deploy', '--group', 'deck', '--stop-all', '--probation', String(probation)],
        ...more,
      );
    const reported = (count: number) =>
      expect
        .poll(async () => (await run('fleet', 'status', '--group', 'deck')).out)
        .toContain(`${count} devices`);
    const probations = () => deck.map(({ obeyed }) => obeyed.at(-1)?.policy.probationSeconds);
    await reported(2);
    expect(await deploy(11)).toMatchObject({ status: 0 });

    const looked = await deploy(22, '--share', '10%', '--dry-run');
    expect(read(looked.out)).toMatchObject([{ device: 'crane-10', currentVersion: 1 }]);
    expect(looked.err).toContain('1 of 2 known devices of the group deck are in this share');
    expect(looked.err).not.toContain('without version');
    const canary = await deploy(22, '--share', '10%');
    expect(read(canary.out)).toMatchObject([{ device: 'crane-10', version: 2, phase: 'committed' }]);
    expect(probations()).toEqual([22, 11]);

    // A device that joins while a share is on the broker does not receive the previous version.
    const late = new FakeDevice({ ...options, device: 'crane-15' }).start();
    devices.push(late);
    await reported(3);
    const none = await deploy(22, '--share', '20-30%', '--no-wait');
    expect(none.err).toContain('0 of 3 known devices');
    expect(none.err).toContain('crane-15 is outside of it without version 1 of the group');
    expect(read(none.out)).toMatchObject([{ device: '@deck', version: 3 }]);
    const wider = await deploy(22, '--share', '80%');
    expect(read(wider.out)).toMatchObject([{ device: 'crane-10' }, { device: 'crane-13', version: 4 }]);
    expect(late.obeyed).toEqual([]);

    const back = await run('--json', 'rollback', '--group', 'deck');
    expect(back.err).toContain('@deck: version 5 runs the pods of version 1 again');
    expect(read(back.out)).toMatchObject(
      ['crane-10', 'crane-13', 'crane-15'].map((device) => ({ device, version: 5, phase: 'committed' })),
    );
    expect(probations()).toEqual([11, 11]);
    expect(deck[0]?.obeyed.at(-1)?.target).toEqual({ group: 'deck' });
  });

  it('[C229] for a share report that no device has a place in it', async () => {
    const sent = await run('deploy', '--group', 'deck', '--stop-all', '--share', '20-30%', '--salt', 'a');
    expect(sent).toMatchObject({ status: 0 });
    expect(sent.err).toContain('no device reports to be in it and has a place in its share');
  });

  it.each(['deploy', 'rollback'])('name listed devices without a report after %s', async (command) => {
    const options = { url: broker.url, fleet: 'harbour', groups: ['bridge'] };
    const isFirst = command === 'deploy';
    if (isFirst) devices.push(new FakeDevice({ ...options, device: 'crane-6' }).start());
    await reported('bridge', 1);
    if (isFirst) await run('deploy', '--group', 'bridge', '--stop-all');
    const toml = await readFile(at('fleet/fleet.toml'), 'utf8');
    const list = (...names: string[]) =>
      writeFile(
        at('fleet/fleet.toml'),
        toml.replace('[groups]\n', `[groups]\nbridge = ${JSON.stringify(names)}\n`),
      );
    const words = isFirst ? ['deploy', '--stop-all'] : ['rollback'];
    try {
      await list('crane-6', 'crane-8', 'crane-9');
      const sent = await run(...words, '--group', 'bridge');
      expect(sent.status).toBe(0);
      expect(sent.err).toContain(
        'not waited for, although fleet.toml lists them in bridge: the broker has no report of crane-8, crane-9\n',
      );
      await list('crane-6');
      expect((await run(...words, '--group', 'bridge')).err).not.toContain('not waited for');
    } finally {
      await writeFile(at('fleet/fleet.toml'), toml);
    }
  });

  it('[C225] [C261] carry secrets only to the devices that the operator lists', async () => {
    await writeFile(at('value'), 'x');
    const keys = await Promise.all(['crane-1', 'crane-2', 'crane-3'].map(generateDeviceKey));
    const toml = await readFile(at('fleet/fleet.toml'), 'utf8');
    const list = (...names: string[]) =>
      writeFile(
        at('fleet/fleet.toml'),
        toml.replace('[groups]\n', `[groups]\nkitchen = ${JSON.stringify(names)}\n`),
      );
    const deploy = () =>
      run(
        '--json',
        'deploy',
        '--group',
        'kitchen',
        '--stop-all',
        '--no-wait',
        '--secret',
        `a=@${at('value')}`,
      );
    /** Whether each of the three can read the newest command. */
    const readers = async (sent: Run): Promise<readonly unknown[]> => {
      expect(sent).toMatchObject({ status: 0 });
      const [{ version }] = read(sent.out) as [{ version: number }];
      const message = decodeMessage(await readFile(at(`fleet/groups/kitchen/${version}.cbor`)));
      if (message.form !== 'encrypted') throw new Error('it is in the open');
      return await Promise.all(
        keys.map(({ privateKey }) =>
          decryptMessage(message.ciphertext, privateKey).then(
            ({ secrets }) => Buffer.from(secrets[0]?.value ?? []).toString(),
            (error: unknown) => (error as Refusal).code,
          ),
        ),
      );
    };

    const unlisted = await deploy();
    expect(unlisted).toMatchObject({ status: 64 });
    expect(unlisted.err).toContain('fleet.toml does not list those of kitchen');
    await list('crane-1', 'crane-3');
    const unknown = await deploy();
    expect(unknown).toMatchObject({ status: 70 });
    expect(unknown.err).toContain('the key of crane-1 and of 1 more devices is not known');
    for (const [index, { publicKey }] of keys.entries()) {
      await writeFile(at('device.asc'), publicKey);
      await run('fleet', 'key', 'add', `crane-${index + 1}`, at('device.asc'));
    }
    const sent = await deploy();
    expect(await readers(sent)).toEqual(['x', 'decryption-failed', 'x']);
    // crane-2 reports to be in the group, which has no effect; crane-3 does not.
    expect(sent.err).toContain('crane-2 reports to be in kitchen and cannot read this command');
    expect(sent.err).toContain('crane-3 can read these secrets and does not report to be in kitchen');
    await list('crane-1', 'crane-2');
    const remedied = await deploy();
    expect(await readers(remedied)).toEqual(['x', 'x', 'decryption-failed']);
    expect(remedied.err).not.toContain('cannot read');
    // Without values, which the devices have: but its pods were never in the open.
    const open = ['deploy', '--group', 'kitchen', '--stop-all', '--no-wait'];
    expect(await run(...open)).toMatchObject({ status: 0 });
    const [{ version }] = read(remedied.out) as [{ version: number }];
    const to = ['--to', String(version), '--no-wait'];
    const back = await run('--json', 'rollback', '--group', 'kitchen', ...to);
    expect(await readers(back)).toEqual(['', '', 'decryption-failed']);
  });
});
