import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../qemu/free-port.ts';
import { ConnectionLost, type Connection, type Message } from '../../../src/wire/mqtt/transport.ts';
import { parseBrokerUrl } from '../../../src/wire/mqtt/broker-url.ts';
import { MqttTransport } from '../../../src/wire/mqtt/mqtt-transport.ts';
import { decodePresence, encodePresence } from '../../../src/wire/report/index.ts';
import { decodeReport } from '../../../src/wire/report/report-codec.ts';
import type { Presence } from '../../../src/wire/report/report.ts';
import { DeviceSession } from '../../../src/device/session/device-session.ts';
import type { ConnectionState } from '../../../src/device/session/session-options.ts';
import { answeringServer } from '../../support/answering-server.ts';
import { aedesBroker, hasMosquitto, mosquittoBroker, type RealBroker } from '../../support/real-brokers.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';
import { systemClock, until } from '../../support/system-clock.ts';

const base = 'v1/harbour/d/crane-7';

/** Closes what a test opened; called after each test, also a failed one. */
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  const failures: unknown[] = [];
  for (const close of opened.splice(0).reverse())
    await close().catch((error: unknown) => failures.push(error));
  expect(failures).toEqual([]);
});

interface Observer {
  readonly connection: Connection;
  readonly messages: Message[];
  publish(kind: string, payload: Uint8Array): Promise<void>;
  presence(): Presence | undefined;
}

/** An operator's client that subscribes to all topics of the device. */
async function observe(url: string, version: 4 | 5): Promise<Observer> {
  const messages: Message[] = [];
  const connection = await new MqttTransport({ url, version }).connect({
    clientId: 'observer',
    keepaliveSeconds: 300,
    onMessage: (message) => messages.push(message),
  });
  opened.push(() => connection.close());
  await connection.subscribe([`${base}/reported`, `${base}/live`, `${base}/event`, `${base}/get`]);
  return {
    connection,
    messages,
    publish: (kind, payload) => connection.publish({ topic: `${base}/${kind}`, payload }, { retain: true }),
    presence: () => {
      const last = messages.filter(({ topic }) => topic.endsWith('/live')).at(-1);
      return last === undefined ? undefined : decodePresence(last.payload);
    },
  };
}

function deviceOn(url: string, version: 4 | 5) {
  const states: ConnectionState[] = [];
  const desired: string[] = [];
  const refused: string[] = [];
  const connections: Connection[] = [];
  const mqtt = new MqttTransport({ url, version });
  const session = new DeviceSession({
    fleet: 'harbour',
    device: 'crane-7',
    bootId: 'boot-a',
    transport: {
      connect: async (options) => {
        const connection = await mqtt.connect(options);
        connections.push(connection);
        return connection;
      },
    },
    clock: systemClock,
    journal: { log: () => undefined },
    policy: { bootSpreadMs: 0, windowMs: 20, baseMs: 10, capMs: 40 },
  });
  session.onConnection((state) => states.push(state));
  session.onDesired((bytes) => desired.push(Buffer.from(bytes).toString()));
  session.onRefused((refusal) => refused.push(refusal.code));
  opened.push(() => session.close());
  session.start();
  return {
    session,
    states,
    desired,
    refused,
    cut: () => connections.at(-1)?.abort(new ConnectionLost('closed', 'cut')),
  };
}

const brokers: [string, 4 | 5, () => Promise<RealBroker>][] = [
  ['aedes, MQTT 3.1.1', 4, aedesBroker],
  ...(hasMosquitto
    ? ([
        ['mosquitto, MQTT 3.1.1', 4, mosquittoBroker],
        ['mosquitto, MQTT 5', 5, mosquittoBroker],
      ] satisfies [string, 4 | 5, () => Promise<RealBroker>][])
    : []),
];

describe.each(brokers)('a device on %s', (_name, version, make) => {
  let broker: RealBroker;
  beforeEach(async () => {
    broker = await make();
    await broker.start();
    opened.push(() => broker.kill());
  });

  it('[C2] receives the desired state retained before it connects, and later ones', async () => {
    const operator = await observe(broker.url, version);
    await operator.publish('desired', Buffer.from('one'));
    const { desired } = deviceOn(broker.url, version);
    await until(() => desired.length === 1);
    await operator.publish('desired', Buffer.from('two'));
    await until(() => desired.length === 2);
    expect(desired).toEqual(['one', 'two']);
  });

  it('reports, answers and is seen as up', async () => {
    const operator = await observe(broker.url, version);
    const { session } = deviceOn(broker.url, version);
    session.publishReport(sampleReport());
    session.publishEvent(sampleEvent());
    await until(() => new Set(operator.messages.map(({ topic }) => topic)).size === 4);
    const report = operator.messages.find(({ topic }) => topic === `${base}/reported`);
    expect(decodeReport(report?.payload ?? new Uint8Array())).toEqual(sampleReport());
    expect(operator.presence()).toEqual({ format: 1, bootId: 'boot-a', connection: 1, up: true });
  });

  it('connects and reports again after the broker was killed and restarted', async () => {
    const { session, states } = deviceOn(broker.url, version);
    session.publishReport(sampleReport({ seq: 1 }));
    await until(() => states.some(({ up }) => up));
    await broker.kill();
    await until(() => states.filter(({ up }) => !up).length >= 2);
    session.publishReport(sampleReport({ seq: 2 }));
    await broker.start();
    await until(() => states.at(-1)?.up === true);
    const operator = await observe(broker.url, version);
    await until(() => operator.messages.some(({ topic }) => topic === `${base}/reported`));
    const report = operator.messages.find(({ topic }) => topic === `${base}/reported`);
    expect(decodeReport(report?.payload ?? new Uint8Array()).seq).toBe(2);
  });

  it('[C4] is marked as down by its will when the connection is cut, and as up again when it is back', async () => {
    const operator = await observe(broker.url, version);
    const { states, cut } = deviceOn(broker.url, version);
    await until(() => operator.presence()?.up === true);
    cut();
    await until(() =>
      operator.messages.some(({ payload, topic }) => topic.endsWith('/live') && !decodePresence(payload).up),
    );
    await until(() => states.at(-1)?.up === true && operator.presence()?.connection === 2);
    expect(operator.presence()).toEqual({ format: 1, bootId: 'boot-a', connection: 2, up: true });
  });

  it('corrects a late will of an earlier connection', async () => {
    const operator = await observe(broker.url, version);
    const { cut } = deviceOn(broker.url, version);
    await until(() => operator.presence()?.connection === 1);
    cut();
    await until(() => operator.presence()?.connection === 2 && operator.presence()?.up === true);
    const presences = () => operator.messages.filter(({ topic }) => topic.endsWith('/live'));
    const before = presences().length;
    await operator.publish('live', encodePresence({ format: 1, bootId: 'boot-a', connection: 1, up: false }));
    await until(() => presences().length === before + 2);
    const [late, correction] = presences().slice(before);
    expect(decodePresence(late?.payload ?? new Uint8Array())).toMatchObject({ connection: 1, up: false });
    expect(decodePresence(correction?.payload ?? new Uint8Array())).toMatchObject({
      connection: 2,
      up: true,
    });
  });

  it('publishes that it is down when it is closed', async () => {
    const operator = await observe(broker.url, version);
    const { session } = deviceOn(broker.url, version);
    await until(() => operator.presence()?.up === true);
    await session.close();
    await until(() => operator.presence()?.up === false);
    expect(operator.messages.filter(({ topic }) => topic.endsWith('/live'))).toHaveLength(2);
  });

  it('[C12] refuses a megabyte of noise on its topic unread, and continues', async () => {
    const operator = await observe(broker.url, version);
    await operator.publish('desired', Buffer.alloc(1_000_000, 0x5a));
    const { desired, refused } = deviceOn(broker.url, version);
    await until(() => refused.length === 1);
    for (let repeat = 0; repeat < 30; repeat++)
      await operator.publish('desired', Buffer.alloc(300_000, 0x5a));
    await operator.publish('desired', Buffer.from('a small one'));
    await until(() => desired.length === 1);
    expect(desired).toEqual(['a small one']);
    expect(refused).toEqual(Array(31).fill('envelope-too-large'));
  });
});

describe('the reason of a failed connection', () => {
  async function failure(url: string): Promise<ConnectionLost> {
    try {
      const connection = await new MqttTransport({ url, version: 4 }).connect({
        clientId: 'x',
        keepaliveSeconds: 300,
        onMessage: () => undefined,
      });
      opened.push(() => connection.close());
    } catch (error) {
      if (error instanceof ConnectionLost) return error;
      throw error;
    }
    throw new Error('connected');
  }

  /** A server that answers every connection with `bytes`. */
  async function answering(bytes: Buffer): Promise<string> {
    const server = await answeringServer(bytes, false);
    opened.push(() => server.close());
    return `127.0.0.1:${server.port}`;
  }

  it('is unreachable when no program listens', async () => {
    const lost = await failure(`mqtt://127.0.0.1:${await freePort()}`);
    expect(lost.reason).toBe('unreachable');
    expect(lost.message).toContain('ECONNREFUSED');
  });

  it.each([
    [1, 'protocol'],
    [2, 'credentials'],
    [3, 'busy'],
    [4, 'credentials'],
    [5, 'credentials'],
  ])('comes from the CONNACK return code %i: %s', async (code, reason) => {
    const lost = await failure(`mqtt://${await answering(Buffer.from([0x20, 2, 0, code]))}`);
    expect(lost.reason).toBe(reason);
  });

  it.each([6, 77, 255])('names the CONNACK code %i that the standard does not have', async (code) => {
    const lost = await failure(`mqtt://${await answering(Buffer.from([0x20, 2, 0, code]))}`);
    expect(lost.message).toBe(`the broker refused the connection with the unknown code ${code}`);
  });

  it('is tls when the peer does not use TLS', async () => {
    const lost = await failure(`mqtts://${await answering(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))}`);
    expect(lost.reason).toBe('tls');
  });

  it('is a lost connection when the peer does not use MQTT', async () => {
    const lost = await failure(`mqtt://${await answering(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'))}`);
    expect(['protocol', 'closed']).toContain(lost.reason);
  });
});

describe('the address of a broker', () => {
  it.each([
    ['mqtt://broker.example', { host: 'broker.example', port: 1883, tls: false }],
    ['mqtts://broker.example', { host: 'broker.example', port: 8883, tls: true }],
    ['mqtts://[2001:db8::1]:8000', { host: '2001:db8::1', port: 8000, tls: true }],
    ['MQTTS://broker.example:8883/', { host: 'broker.example', port: 8883, tls: true }],
    ['mqtt://bücher.example', { host: 'xn--bcher-kva.example', port: 1883, tls: false }],
    ['ws://broker', { host: 'broker', port: 80, tls: false, webSocket: 'ws://broker/mqtt' }],
    ['wss://broker:9001/a/b', { host: 'broker', port: 9001, tls: true, webSocket: 'wss://broker:9001/a/b' }],
  ])('%s is parsed', (url, expected) => {
    expect(parseBrokerUrl(url)).toEqual(expected);
  });

  it.each([
    'http://broker',
    'ws://u:p@broker',
    'wss://broker/mqtt?x=1',
    'broker:1883',
    'mqtt://',
    'mqtt://user:secret@broker',
    'mqtt://broker/path',
    'mqtt://broker:0',
    'mqtt://a%zz',
    'mqtt://b%FF',
    ' mqtt://broker',
  ])('%s is refused', (url) => {
    expect(() => parseBrokerUrl(url)).toThrow(/broker's address/);
  });
});
