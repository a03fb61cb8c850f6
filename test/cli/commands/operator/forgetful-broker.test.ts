import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { main } from '../../../../src/cli/main.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { hasMosquitto, mosquittoBroker, type Mosquitto } from '../../../support/real-brokers.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';
import { until } from '../../../support/system-clock.ts';

let directory: string;
let broker: Mosquitto;
const devices: FakeDevice[] = [];
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-forgetful-'));
});
afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
  await broker.kill();
  rmSync(directory, { recursive: true });
});

async function start(config = ''): Promise<void> {
  broker = await mosquittoBroker(config);
  await broker.start();
  const made = await run(
    'fleet',
    'init',
    'harbour',
    '--broker',
    broker.url,
    '--images',
    'http://127.0.0.1:1',
  );
  expect(made.status).toBe(0);
}

async function crash(): Promise<void> {
  await broker.kill();
  await broker.start();
}

function device(name = 'crane-7', groups: readonly string[] = []): FakeDevice {
  const made = new FakeDevice({ url: broker.url, fleet: 'harbour', device: name, groups }).start();
  devices.push(made);
  return made;
}

describe.runIf(hasMosquitto)('a Mosquitto that accepts small messages only', () => {
  it('over MQTT 3.1.1 ends the connection, and "wherry deploy" names the message and the limit', async () => {
    await start('max_packet_size 350\n');
    const { status, err } = await run('deploy', 'crane-7', '--stop-all', '--no-wait');
    expect(status).toBe(69);
    expect(err).toMatch(
      /the connection to the broker ended while the command of \d+ bytes was sent: .*size of messages/,
    );
  });
});

describe.runIf(hasMosquitto)('a Mosquitto that is killed after it acknowledged a command', () => {
  it('gets the command again from "wherry status", and an absent device obeys it later', async () => {
    await start();
    expect(await run('deploy', 'crane-7', '--stop-all', '--no-wait')).toMatchObject({ status: 0 });
    await crash();
    const shown = await run('status');
    expect(shown.out).toContain(
      'crane-7: the broker lost version 1, which was published from here: it was published again',
    );
    const crane = device();
    await until(() => crane.obeyed.length === 1);
    expect((await run('status')).out).not.toContain('published again');
    await crash();
    expect((await run('fleet', 'device', 'crane-7')).out).toContain(
      'version 1, which was published from here: it was published again',
    );
  });

  it('that kept the older command is distinguished from one that replays it', async () => {
    await start(`persistence true\npersistence_location ${directory}/\n`);
    expect(await run('deploy', 'crane-7', '--stop-all', '--no-wait')).toMatchObject({ status: 0 });
    broker.save();
    await until(() => existsSync(at('mosquitto.db')));
    expect(await run('deploy', 'crane-7', '--stop-all', '--no-wait')).toMatchObject({ status: 0 });
    await crash();
    const shown = await run('status', '--json');
    expect(JSON.parse(shown.out)).toMatchObject([
      {
        device: 'crane-7',
        command: { version: 2, broker: { keeps: 'older', version: 1 }, repeated: 'kept' },
      },
    ]);
    const crane = device();
    await until(() => crane.obeyed.length === 1);
    expect(crane.obeyed[0]?.version).toBe(2);
  });

  it('gets the command again from a waiting "wherry deploy"', async () => {
    await start();
    const { terminal, err } = recordingTerminal();
    const deploying = main(['--fleet', at('fleet'), 'deploy', 'crane-7', '--stop-all'], {}, terminal);
    await until(() => err().includes('waiting for the device'));
    await crash();
    device();
    expect(await deploying).toBe(0);
    expect(err()).toContain('version 1  committed');
  });
});

/** Waits until the broker has a report of a device. */
const reported = async (name: string): Promise<void> => {
  while ((await run('fleet', 'device', name)).status !== 0);
};

describe.runIf(hasMosquitto)('a Mosquitto that stays down while "wherry deploy" waits', () => {
  it('leaves the outcome of the command unknown; "wherry status" publishes it again', async () => {
    await start();
    const { terminal, err } = recordingTerminal();
    const args = ['--fleet', at('fleet'), 'deploy', 'crane-7', '--stop-all', '--timeout', '20'];
    const deploying = main(args, {}, terminal);
    await until(() => err().includes('waiting for the device'));
    await broker.kill();
    expect(await deploying).toBe(69);
    expect(err()).toMatch(
      /no connection to the broker: .*; version 1 of crane-7 was published, and what became of it is not known; when the broker is back, "wherry status"/,
    );
    await broker.start();
    expect((await run('status')).out).toContain('it was published again');
  });
});

describe.runIf(hasMosquitto)('a Mosquitto that loses the command of a group', () => {
  it('gets it again from "wherry status", for devices that connect later', async () => {
    await start();
    const all = ['deploy', '--group', 'kitchen', '--stop-all', '--no-wait'];
    expect(await run(...all)).toMatchObject({ status: 0 });
    await crash();
    const shown = await run('status');
    expect(shown.out).toContain(
      '@kitchen: the broker lost version 1, which was published from here: it was published again',
    );
    const crane = device('crane-7', ['kitchen']);
    await until(() => crane.obeyed.length === 1);
    await reported('crane-7');
    const later = await run('status', '--json');
    expect(JSON.parse(later.out)).toMatchObject([
      {
        device: 'crane-7',
        groupCommands: [{ group: 'kitchen', version: 1, broker: { keeps: 'newest' } }],
      },
    ]);
  });

  it('gets it again while a "wherry deploy" waits for one of its devices only', async () => {
    await start();
    device('crane-7', ['kitchen']);
    const away = device('crane-8', ['kitchen']);
    await reported('crane-7');
    await reported('crane-8');
    await away.close();
    const { terminal, err } = recordingTerminal();
    const args = ['--fleet', at('fleet'), 'deploy', '--group', 'kitchen', '--stop-all'];
    const deploying = main(args, {}, terminal);
    await until(() => err().includes('crane-7  version 1  committed'));
    await crash();
    device('crane-8', ['kitchen']);
    expect(await deploying).toBe(0);
    expect(err()).toContain('crane-8  version 1  committed');
  });
});

describe.runIf(hasMosquitto)('a command that an account may write but not read back', () => {
  it('is not published again, and reported as unknown', async () => {
    writeFileSync(
      at('acl'),
      ['topic write v1/harbour/d/+/desired', 'topic read v1/harbour/d/+/live', ''].join('\n'),
      { mode: 0o644 },
    );
    await start(`acl_file ${at('acl')}`);
    const sent = await run('deploy', 'crane-7', '--stop-all', '--no-wait', '--json');
    expect(JSON.parse(sent.out)).toEqual([{ device: 'crane-7', version: 1, kept: false }]);
    const shown = await run('status', '--json');
    expect(JSON.parse(shown.out)).toMatchObject([{ command: { version: 1, broker: { keeps: 'unknown' } } }]);
    expect((await run('status')).out).toContain(
      'what the broker keeps for crane-7 could not be read back; let this account read the topics "desired"',
    );
  });
});
