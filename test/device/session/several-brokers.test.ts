import { afterEach, describe, expect, it } from 'vitest';
import { DeviceSession } from '../../../src/device/session/device-session.ts';
import { SeveralBrokers } from '../../../src/device/session/several-brokers.ts';
import { MqttTransport } from '../../../src/wire/mqtt/mqtt-transport.ts';
import { aedesBroker, hasMosquitto, mosquittoBroker } from '../../support/real-brokers.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { systemClock, until } from '../../support/system-clock.ts';
import { MemoryBroker } from './memory-broker.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A device with two brokers, and what it logged and received. */
async function device(start: () => ReturnType<typeof aedesBroker>) {
  const [first, second] = [await start(), await start()] as const;
  for (const broker of [first, second]) {
    await broker.start();
    opened.push(() => broker.kill());
  }
  const lines: string[] = [];
  const ports = {
    clock: systemClock,
    journal: { log: (level: string, message: string) => level !== 'debug' && lines.push(message) },
  };
  const open = ({ url }: { url: string }) => ({ url, transport: new MqttTransport({ url, version: 4 }) });
  const brokers = new SeveralBrokers([open(first), open(second)], ports, 0);
  const policy = { bootSpreadMs: 0, windowMs: 20, baseMs: 5, stableMs: 0 };
  const session = new DeviceSession({
    ...{ fleet: 'harbour', device: 'crane-7', bootId: 'boot-a', transport: brokers, ...ports, policy },
  });
  const desired: string[] = [];
  const links: (string | undefined)[] = [];
  session.onDesired((bytes) => desired.push(Buffer.from(bytes).toString()));
  session.onConnection(({ up }) => links.push(up ? brokers.use?.url : undefined));
  session.start();
  opened.push(() => session.close());
  return { first, second, brokers, desired, links, lines };
}

async function publish(url: string, text: string): Promise<void> {
  const connection = await new MqttTransport({ url, version: 4 }).connect({
    ...{ clientId: 'operator', keepaliveSeconds: 60, onMessage: () => undefined },
  });
  await connection.publish(
    { topic: 'v1/harbour/d/crane-7/desired', payload: Buffer.from(text) },
    { retain: true },
  );
  await connection.close();
}

const kinds = [
  ['aedes', aedesBroker],
  ...(hasMosquitto ? ([['mosquitto', () => mosquittoBroker()]] as const) : []),
] as const;

describe.each(kinds)('a device with two brokers of %s', (_name, start) => {
  it('[C157] uses the second when the first is gone, and stays there', async () => {
    const { first, second, brokers, desired, links, lines } = await device(start);
    await until(() => links.length === 1);
    await publish(first.url, 'by the first');
    await until(() => desired.includes('by the first'));
    await first.kill();
    await publish(second.url, 'by the second');
    await until(() => desired.includes('by the second'));
    expect(links.filter((link) => link !== undefined)).toEqual([first.url, second.url]);
    expect(brokers.use).toEqual({ url: second.url, at: 2, of: 2 });
    expect(lines).toContain(`${first.url} failed too often: the next attempt is to ${second.url}`);
    expect(lines).toContain(`the broker in use is ${second.url}`);

    // The first returns: the device does not close a working session for it.
    await first.start();
    await publish(second.url, 'again by the second');
    await until(() => desired.includes('again by the second'));
    expect(links.at(-1)).toBe(second.url);

    // The second stops: the first follows again.
    await second.kill();
    await publish(first.url, 'again by the first');
    await until(() => desired.includes('again by the first'));
    expect(brokers.use?.url).toBe(first.url);
  });
});

/** A device after two sessions of `sessionMs` each: the address that it uses next, and its log. */
async function twoSessions(addresses: readonly [string, ...string[]], sessionMs: number) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const broker = new MemoryBroker();
  const [first, ...others] = addresses.map((url) => ({ url, transport: broker.transport() }));
  if (first === undefined) throw new Error('no address');
  const ports = { clock, journal: { log: (_: string, message: string) => lines.push(message) } };
  const brokers = new SeveralBrokers([first, ...others], ports, 60_000);
  for (let session = 0; session < 2; session++) {
    await brokers.connect({ clientId: 'crane-7', keepaliveSeconds: 60, onMessage: () => undefined });
    await clock.pass(sessionMs);
    broker.dropAll();
    await settle();
  }
  return { use: brokers.use, lines };
}

it('[C157] a device with one address has nothing to report about it', async () => {
  expect(await twoSessions(['mqtt://first'], 1)).toEqual({ use: undefined, lines: [] });
});

it('[C157] a device stays at an address if its sessions last a minute there', async () => {
  const addresses = ['mqtt://first', 'mqtt://second'] as const;
  expect((await twoSessions(addresses, 59_999)).use).toEqual({ url: 'mqtt://second', at: 2, of: 2 });
  expect(await twoSessions(addresses, 60_000)).toEqual({
    use: { url: 'mqtt://first', at: 1, of: 2 },
    lines: ['the broker in use is mqtt://first', 'the broker in use is mqtt://first'],
  });
});

it('[C157] a device leaves a broker that accepts it and acknowledges nothing', async () => {
  const [hung, good] = [new MemoryBroker(), new MemoryBroker()];
  hung.acknowledges = hung.acknowledgesSubscriptions = false;
  const ports = { clock: new FakeClock(), journal: { log: () => undefined } };
  const brokers = new SeveralBrokers(
    [
      { url: 'mqtt://hung', transport: hung.transport() },
      { url: 'mqtt://good', transport: good.transport() },
    ],
    ports,
  );
  const session = new DeviceSession({
    ...{ fleet: 'harbour', device: 'crane-7', bootId: 'boot-a', transport: brokers, ...ports },
    policy: { bootSpreadMs: 0 },
  });
  session.start();
  await ports.clock.pass(10 * 60_000);
  expect(hung.connections).toBe(2);
  expect(good.connections).toBe(1);
  expect(brokers.use?.url).toBe('mqtt://good');
});
