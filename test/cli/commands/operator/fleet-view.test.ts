import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatAge } from '../../../../src/cli/format.ts';
import { main } from '../../../../src/cli/main.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { telemetryOf } from '../../../../src/device/agent/readings.ts';
import { MqttTransport } from '../../../../src/wire/mqtt/index.ts';
import { deviceTopics, encodeTelemetry } from '../../../../src/wire/report/index.ts';
import { sampleReadings } from '../../../support/sample-readings.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { recordingTerminal, wherry } from '../../../support/recording-terminal.ts';
import { until } from '../../../support/system-clock.ts';

describe('wherry fleet', () => {
  let directory: string;
  let broker: EmbeddedBroker;
  const devices: FakeDevice[] = [];
  const run = (...args: string[]) => wherry(['--fleet', join(directory, 'fleet'), ...args]);
  const deploy = (device: string) => run('deploy', device, '--stop-all', '--timeout', '250');

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-fleet-'));
    broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
    await run('fleet', 'init', 'harbour', '--broker', broker.url);
    const decide = () => ({ code: 'no-space', message: 'the disk is full' });
    for (const device of ['crane-1', 'crane-2', 'pump-1']) {
      const own = device === 'crane-2' ? { decide } : {};
      devices.push(new FakeDevice({ url: broker.url, fleet: 'harbour', device, ...own }).start());
    }
    expect(await deploy('crane-1')).toMatchObject({ status: 0 });
    expect(await deploy('crane-2')).toMatchObject({ status: 70 });
  });

  afterAll(async () => {
    for (const device of devices) await device.close();
    await broker.close();
    await rm(directory, { recursive: true });
  });

  it('status counts the devices in a few lines', async () => {
    const { status, out } = await run('fleet', 'status');
    expect(status).toBe(0);
    expect(out).toMatch(/^3 devices\nlink +3 up\nversion +2 0, 1 1\n.*\n.*\nfailed +1 no-space\n$/);
    const counted = JSON.parse((await run('fleet', 'status', '--prefix', 'crane', '--json')).out) as object;
    expect(counted).toMatchObject({ devices: 2, links: [{ value: 'up', devices: 2 }] });
  });

  it('devices lists those that match the filter', async () => {
    const { out } = await run('fleet', 'devices', '--code', 'no-space');
    expect(out).toMatch(/^DEVICE .*\ncrane-2 +up +\d+ d ago +none +refused +- +no-space\n$/);
    const running = JSON.parse((await run('fleet', 'devices', '--running', '1', '--json')).out) as object;
    expect(running).toMatchObject([{ device: 'crane-1', version: 1, phase: 'committed' }]);
    const none = await run('fleet', 'devices', '--link', 'down');
    expect(none).toMatchObject({ status: 64 });
    expect(none.err).toContain('no device of the fleet matches the options (not-found)');
  });

  it.each([
    ['--link', 'upp', 'up, down, unknown'],
    ['--phase', 'commited', 'rolled-back'],
    ['--health', 'sick', 'healthy, unhealthy'],
    ['--code', 'nospace', 'a code such as no-space'],
    ['--label', 'site', 'NAME=VALUE'],
  ])('devices refuses the filter %s %s, which no device can match', async (option, value, expected) => {
    const { status, err } = await run('fleet', 'devices', option, value);
    expect(status).toBe(64);
    expect(err).toContain(`"${value}" is not valid`);
    expect(err).toContain(expected);
  });

  it('device shows one with the messages published for it', async () => {
    const { out } = await run('fleet', 'device', 'crane-2');
    expect(out).toContain('refused (no-space): the disk is full');
    expect(out).toContain('published from here: 1 refused');
    expect(await run('fleet', 'device', 'crane-9')).toMatchObject({ status: 64 });
  });

  it('[C321] shows how long ago a device reported, whatever its presence is', async () => {
    expect((await run('fleet', 'devices', '--prefix', 'crane-1')).out).toMatch(
      /^DEVICE +LINK +REPORTED +VERSION.*\ncrane-1 +up +\d+ (s|min|h|d) ago /,
    );
    expect((await run('fleet', 'device', 'crane-1')).out).toMatch(
      /\nlast message that is kept: \d+ (s|min|h|d) ago\n/,
    );
    const [line] = JSON.parse((await run('fleet', 'devices', '--prefix', 'crane-1', '--json')).out) as {
      reportedAt?: number;
    }[];
    expect(line?.reportedAt).toBeGreaterThan(0);
    expect([-5, 119, 120, 7199, 7200, 172_800].map(formatAge)).toEqual([
      ...['0 s', '119 s', '2 min', '119 min', '2 h', '2 d'],
    ]);
  });

  it('[C190] device shows the telemetry that it sends', async () => {
    expect((await run('fleet', 'device', 'crane-1')).out).not.toContain('numbers of');
    const connection = await new MqttTransport({ url: broker.url, version: 4 }).connect({
      ...{ clientId: 'crane-1-numbers', keepaliveSeconds: 60, onMessage: () => undefined },
    });
    const telemetry = telemetryOf(undefined, sampleReadings({ coolings: ['1'] }));
    const { telemetry: topic } = deviceTopics('harbour', 'crane-1');
    await connection.publish({ topic, payload: encodeTelemetry(telemetry) }, { retain: true });
    await connection.close();
    const { out } = await run('fleet', 'device', 'crane-1');
    expect(out).toContain(
      'numbers of 2026-01-01T00:00:00.000Z: load 0.52, memory 390.6 MiB of 976.6 MiB, disk 3.7 GiB of 14.9 GiB, 52 °C, slowed down by heat or a weak supply, up 24 h',
    );
    expect(out).toMatch(/web\/nginx +- +19\.1 MiB +1 +0/);
    const json = JSON.parse((await run('fleet', 'device', 'crane-1', '--json')).out) as object;
    expect(json).toMatchObject({ telemetry });
  });

  it('status --watch counts the devices that status counts, and follows them', async () => {
    const { terminal, out, stop } = recordingTerminal();
    const args = ['--fleet', join(directory, 'fleet'), 'fleet', 'status', '--watch', '--prefix', 'crane'];
    const watching = main(args, {}, terminal);
    const once = (await run('fleet', 'status', '--prefix', 'crane')).out;
    expect(once).toMatch(/^[1-9]\d* devices\n/);
    await until(() => out().endsWith(once));
    expect(out().startsWith(once.split('\n', 1).join(''))).toBe(true);
    await deploy('crane-1');
    await until(() => !out().endsWith(once));
    stop();
    await watching;
  });

  it('events prints the ends of deployments as they happen', async () => {
    const { terminal, out, err, stop } = recordingTerminal();
    const watching = main(
      ['--fleet', join(directory, 'fleet'), 'fleet', 'events', '--prefix', 'crane'],
      {},
      terminal,
    );
    await until(() => err().includes('waiting for events'));
    await deploy('pump-1');
    await deploy('crane-2');
    await until(() => out() !== '');
    stop();
    await watching;
    expect(out()).toMatch(/^\S+  crane-2  version 2  refused \(no-space\): the disk is full\n$/);
  });

  it('events of groups, labels and codes are chosen', async () => {
    const member = { groups: ['kitchen'], labels: [{ name: 'site', value: 'pier' }] };
    const pump = new FakeDevice({ url: broker.url, fleet: 'harbour', device: 'pump-2', ...member }).start();
    while (!(await run('fleet', 'devices', '--json')).out.includes('pump-2'));
    const watches = [['--group', 'kitchen'], ['--label', 'site=pier'], ['--code', 'no-space'], []].map(
      (chosen) => {
        const { terminal, out, err, stop } = recordingTerminal();
        const ended = main(['--fleet', join(directory, 'fleet'), 'fleet', 'events', ...chosen], {}, terminal);
        return { out, err, stop, ended };
      },
    );
    await until(() => watches.every(({ err }) => err().includes('waiting for events')));
    await deploy('crane-2');
    await run('deploy', '--group', 'kitchen', '--stop-all', '--timeout', '250');
    await deploy('crane-1');
    await until(() => watches.at(-1)?.out().includes('crane-1') === true);
    for (const { stop } of watches) stop();
    await Promise.all(watches.map(({ ended }) => ended));
    const told = watches.map(({ out }) =>
      [...out().matchAll(/  (\S+  version \S+)  /g)].map(([, what]) => what),
    );
    const of = (device: string) => expect.stringMatching(new RegExp(`^${device} `)) as string;
    const ofGroup = 'pump-2  version kitchen:1';
    expect(told).toEqual([[ofGroup], [ofGroup], [of('crane-2')], [of('crane-2'), ofGroup, of('crane-1')]]);
    await pump.close();
  });
});
