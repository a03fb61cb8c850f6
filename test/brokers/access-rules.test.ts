import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MqttTransport, type Connection, type Message } from '../../src/wire/mqtt/index.ts';
import { clientIdentifier, deviceTopics } from '../../src/wire/report/index.ts';
import { hasMosquitto, mosquittoBroker } from '../support/real-brokers.ts';
import { until } from '../support/system-clock.ts';
import { everything } from './broker-under-test.ts';
import { hasRabbitmq, rabbitmqNodes } from './rabbitmq.ts';

const examples = join(import.meta.dirname, '../../docs/brokers');

interface Guarded {
  readonly url: string;
  end(): Promise<void>;
}

/** The accounts `operator`, `crane-7` and `crane-8`, whose password is their name. */
async function mosquitto(): Promise<Guarded> {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-acl-'));
  const [acl, passwords] = [join(directory, 'acl'), join(directory, 'passwords')];
  copyFileSync(join(examples, 'mosquitto.acl'), acl);
  chmodSync(acl, 0o700);
  writeFileSync(passwords, accounts.map((name) => `${name}:${name}\n`).join(''), { mode: 0o600 });
  execFileSync('/usr/bin/mosquitto_passwd', ['-U', passwords]);
  const broker = await mosquittoBroker(`allow_anonymous false\npassword_file ${passwords}\nacl_file ${acl}`);
  await broker.start();
  return {
    url: broker.url,
    end: async () => {
      await broker.kill();
      rmSync(directory, { recursive: true });
    },
  };
}

async function rabbitmq(): Promise<Guarded> {
  const broker = await rabbitmqNodes(1, false);
  await broker.start();
  const { path, environment } = broker.control;
  for (const account of accounts) {
    const script = account === 'operator' ? 'rabbitmq-operator.sh' : 'rabbitmq-device.sh';
    const child = spawn('sh', [join(examples, script), 'harbour', account], {
      env: { ...environment, PATH: `${path}:${environment['PATH'] ?? ''}` },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.stdin.end(account);
    const [status] = (await once(child, 'close')) as [number];
    expect(status).toBe(0);
  }
  return { url: broker.urls[0] ?? '', end: () => broker.end() };
}

const accounts = ['operator', 'crane-7', 'crane-8'];
const own = deviceTopics('harbour', 'crane-7');
const others = deviceTopics('harbour', 'crane-8');
const ofOthers = [
  ...[others.desired, others.reported, others.event, others.live, others.get],
  ...[others.telemetry, others.ask, others.log],
];
const root = 'v1/harbour/root/2';
const group = 'v1/harbour/group/north/desired';
const text = ({ payload }: Message): string => Buffer.from(payload).toString();
const otherFleet = deviceTopics('mill', 'crane-7');

const kinds = [
  { name: 'Mosquitto', skipped: !hasMosquitto, make: mosquitto },
  { name: 'RabbitMQ', skipped: !everything || !hasRabbitmq, make: rabbitmq },
];

describe.each(kinds)('the access rules for $name in docs/brokers', ({ name, skipped, make }) => {
  let broker: Guarded | undefined;
  const open: Connection[] = [];
  let count = 0;

  beforeAll(async () => {
    if (!skipped) broker = await make();
  }, 240_000);
  afterEach(async () => {
    await Promise.all(open.splice(0).map((connection) => connection.close()));
  });
  afterAll(() => broker?.end());

  async function enter(account: string): Promise<{ connection: Connection; messages: Message[] }> {
    const messages: Message[] = [];
    const clientId = clientIdentifier(
      'harbour',
      account === 'operator' ? `operator-${(++count).toString(16)}` : account,
    );
    const address = { url: broker?.url ?? '', version: 4, username: account, password: account } as const;
    const onMessage = (message: Message): unknown => messages.push(message);
    const connection = await new MqttTransport(address).connect({
      clientId,
      keepaliveSeconds: 300,
      onMessage,
    });
    open.push(connection);
    return { connection, messages };
  }

  /** Brokers refuse in three ways: with an error, by silence, and by ending the connection. */
  const attempt = (deed: Promise<void>): Promise<void> => deed.catch(() => undefined);

  const retain = (connection: Connection, topic: string, content: string) =>
    connection.publish({ topic, payload: Buffer.from(content) }, { retain: true });

  it.skipIf(skipped)(
    '[C195] let a device report, and read what is for it, its groups and its fleet',
    async () => {
      const operator = await enter('operator');
      const heard = [own.reported, own.live, own.event, own.telemetry, own.log];
      await operator.connection.subscribe(heard);
      const forDevice = [own.desired, group, root, own.ask];
      const device = await enter('crane-7');
      await device.connection.subscribe([own.desired, own.live, own.ask]);
      await device.connection.subscribe([group]);
      await device.connection.subscribe([root]);
      for (const topic of forDevice) await retain(operator.connection, topic, 'from the operator');
      await until(() =>
        forDevice.every((topic) => device.messages.some((message) => message.topic === topic)),
      );
      for (const topic of [...heard, own.get]) await retain(device.connection, topic, 'from the device');
      await until(() => heard.every((topic) => operator.messages.some((message) => message.topic === topic)));
    },
  );

  it.skipIf(skipped || name !== 'Mosquitto')(
    '[C226] let an operator read what marks the end of the reports',
    async () => {
      const operator = await enter('operator');
      await operator.connection.subscribe(['$SYS/broker/version'], 0);
      await until(() => operator.messages.some((message) => text(message).startsWith('mosquitto version')));
    },
  );

  it.skipIf(skipped)(
    '[C195] do not let it write what commands anybody, nor in the name of another',
    async () => {
      const forbidden = [own.desired, own.ask, group, root, ...ofOthers];
      const operator = await enter('operator');
      for (const topic of [own.desired, group, root, others.desired])
        await retain(operator.connection, topic, 'from the operator');
      await operator.connection.subscribe([
        ...forbidden.filter((topic) => topic !== others.get && !topic.endsWith('/ask')),
        own.reported,
      ]);
      for (const topic of forbidden) {
        const device = await enter('crane-7');
        await attempt(retain(device.connection, topic, 'from the device'));
      }
      const device = await enter('crane-7');
      await retain(device.connection, own.reported, 'the last message');
      await until(() => operator.messages.some((message) => text(message) === 'the last message'));
      const came = operator.messages.filter((message) => text(message) === 'from the device');
      // `reported` is its own, and retained since the test before.
      expect(came.map(({ topic }) => topic).filter((topic) => topic !== own.reported)).toEqual([]);
    },
  );

  it.skipIf(skipped)('[C195] do not let it read the commands, reports or answers of another', async () => {
    const operator = await enter('operator');
    await retain(operator.connection, others.desired, 'a secret of crane-8');
    const other = await enter('crane-8');
    await retain(other.connection, others.reported, 'a secret of crane-8');
    await retain(other.connection, others.live, 'a secret of crane-8');
    const filters = [
      ...ofOthers,
      ...['#', 'v1/#', 'v1/harbour/#', 'v1/harbour/d/+/desired', 'v1/harbour/d/+/reported', '+/+/+/+/+'],
      otherFleet.desired,
    ];
    const heard: Message[] = [];
    for (const [index, filter] of filters.entries()) {
      const spy = await enter('crane-7');
      await attempt(spy.connection.subscribe([filter]));
      await attempt(spy.connection.subscribe([own.desired]));
      for (const topic of [others.event, others.reported])
        await retain(other.connection, topic, 'a secret of crane-8');
      // What the spy may read comes after what it may not, unless the broker has ended its
      // connection.
      const command = `command ${index}`;
      await retain(operator.connection, own.desired, command);
      let ended = false;
      void spy.connection.ended.then(() => (ended = true));
      await until(() => ended || spy.messages.some((message) => text(message) === command));
      heard.push(...spy.messages);
    }
    const secrets = heard.filter((message) => text(message).startsWith('a secret'));
    expect(secrets).toEqual([]);
  });
});
