import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Reporter } from '../../../src/device/agent/reporter.ts';
import type { Readings } from '../../../src/device/agent/readings.ts';
import { sendTelemetry } from '../../../src/device/agent/telemetry-schedule.ts';
import { DeviceSession } from '../../../src/device/session/device-session.ts';
import { MqttTransport } from '../../../src/wire/mqtt/mqtt-transport.ts';
import type { DeviceReport } from '../../../src/wire/report/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { aedesBroker } from '../../support/real-brokers.ts';
import { sampleReport } from '../../support/sample-messages.ts';
import { sampleReadings } from '../../support/sample-readings.ts';
import { until } from '../../support/system-clock.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A broker behind a counter of the bytes of TCP in both directions. */
async function countedBroker() {
  const broker = await aedesBroker();
  await broker.start();
  opened.push(() => broker.kill());
  const counted = { bytes: 0, pieces: 0 };
  const server = createServer((near) => {
    const far = connect(broker.port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (chunk: Buffer) => {
        counted.bytes += chunk.length;
        counted.pieces += 1;
        to.write(chunk);
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(() => new Promise((resolve) => server.close(resolve)));
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, counted };
}

/**
 * The headers of IPv4 and TCP with timestamps have 52 bytes. A request, its answer (which
 * acknowledges it) and the acknowledgement of the answer are three packets for two pieces.
 */
const headerBytes = (3 * 52) / 2;
const [minuteMs, dayMs, days] = [60_000, 86_400_000, 30] as const;
const keepaliveSeconds = 300;

/** Two pods whose apps do next to nothing, as a device reports them. */
function idleReport(minutes: number): DeviceReport {
  const isolators = ['resource/memory', 'resource/cpu', 'os/linux/seccomp-remove-set'].map((name) => ({
    ...{ app: 'main', name, outcome: 'enforced' as const, detail: 'MemoryMax=64M, of the manifest' },
  }));
  const pods = ['gate', 'meter'].map((name) => ({
    ...{ name, uuid: '00000000-0000-8000-8000-000000000000', healthy: true, isolators },
    apps: [
      {
        ...{ name: 'main', imageId: `sha512-${'a'.repeat(128)}`, state: 'active/running', pid: 417 },
        ...{ restarts: 0, lastResult: 'success', oomKills: 0, tasks: 4 },
        ...{ memoryBytes: 12_000_000 + (minutes % 60) * 10_000, cpuUsec: minutes * 9_000 },
      },
    ],
  }));
  const capabilities = Array.from({ length: 12 }, (_, index) => ({
    ...{ name: `capability-${index}`, available: true, detail: 'the kernel has it' },
  }));
  return sampleReport({ seq: minutes, at: minutes * 60, pods, capabilities });
}

/** A day of 12 degrees between night and noon, and a processor that does 1 to 3 %. */
function idleReadings(minutes: number): Readings {
  const jiffies = minutes * 60 * 200;
  const busy = Math.round(jiffies * 0.02) + (minutes % 7) * 30;
  const degrees = 45 - 6 * Math.cos((2 * Math.PI * minutes) / 1440) + (minutes % 3) / 2;
  return sampleReadings({
    ...{ atMs: minutes * minuteMs, monotonicMs: minutes * minuteMs },
    stat: `cpu  ${busy} 0 0 ${jiffies - busy} 0 0 0 0 0 0\n`,
    memory: `MemTotal: 1000000 kB\nMemAvailable: ${600_000 + (minutes % 11) * 1000} kB\n`,
    load: `0.${(minutes % 50) + 10} 0 0\n`,
    temperatures: [String(Math.round(degrees * 1000))],
    apps: ['gate', 'meter'].map((pod) => ({
      ...{ pod, app: 'main', restarts: 0, oomKills: 0 },
      ...{ memoryBytes: 12_000_000 + (minutes % 60) * 10_000, cpuUsec: minutes * 9_000 },
    })),
  });
}

describe('the data of an idle device', () => {
  it('[C192] is below 2 MB a month with telemetry, reports and a keepalive of 300 s', async () => {
    const { url, counted } = await countedBroker();
    const take = () => {
      const { bytes, pieces } = counted;
      Object.assign(counted, { bytes: 0, pieces: 0 });
      return bytes + pieces * headerBytes;
    };
    const transport = new MqttTransport({ url, version: 4 });

    // The cost of a ping, measured on a connection that sends only pings.
    const quiet = await transport.connect({
      ...{ clientId: 'quiet', keepaliveSeconds: 1, onMessage: () => undefined },
    });
    await until(() => counted.pieces >= 2); // CONNECT and its answer
    take();
    await until(() => counted.pieces >= 2);
    // There are several pairs if this process was delayed.
    const pairs = Math.ceil(counted.pieces / 2);
    const pingBytes = take() / pairs;
    await quiet.close();
    take();

    // Days of a device on the test's clock, over one real connection.
    const clock = new FakeClock();
    const session = new DeviceSession({
      ...{ fleet: 'harbour', device: 'crane-7', bootId: 'boot-a', transport, clock },
      ...{ journal: { log: () => undefined }, policy: { bootSpreadMs: 0 } },
    });
    const minutes = (): number => Math.floor(clock.monotonicMs() / minuteMs);
    const sentKinds = { reports: 0, telemetry: 0 };
    const reporter = new Reporter(
      clock,
      () => Promise.resolve(idleReport(minutes())),
      (report) => {
        sentKinds.reports += 1;
        session.publishReport(report);
      },
      (error) => expect(error).toBeUndefined(),
    );
    const stop = new AbortController();
    opened.push(() => session.close());
    session.start();
    reporter.request();
    const telemetry = sendTelemetry(
      {
        ...{ clock, look: () => Promise.resolve(idleReadings(minutes())) },
        publish: (numbers) => {
          sentKinds.telemetry += 1;
          session.publishTelemetry(numbers);
        },
        onError: (error) => expect(error).toBeUndefined(),
      },
      300,
      stop.signal,
    );
    const isQuiet = () => session.traffic?.hasUnsent === false;
    await until(isQuiet);
    const greetingBytes = take();
    expect(sentKinds).toEqual({ reports: 1, telemetry: 1 });
    for (let passed = 0; passed < dayMs; passed += 5 * minuteMs) {
      reporter.look(); // report.schedule is every five minutes
      await clock.pass(5 * minuteMs);
      await until(isQuiet);
    }
    const dayBytes = take();
    stop.abort();
    await telemetry;

    const pings = (days * 86_400) / keepaliveSeconds;
    const month = pings * pingBytes + days * (dayBytes + greetingBytes);
    process.stdout.write(
      `an idle month, with headers of TCP and IP: ${month} bytes; ${pings} pings of ${pingBytes}, ` +
        `each day ${sentKinds.telemetry - 1} messages of telemetry and ${sentKinds.reports - 1} reports ` +
        `in ${dayBytes}, and one new connection of ${greetingBytes}\n`,
    );
    expect(sentKinds.telemetry).toBeGreaterThan(1);
    expect(month).toBeLessThan(2_000_000);
    expect(month).toBeGreaterThan(pings * 4);
  });
});
