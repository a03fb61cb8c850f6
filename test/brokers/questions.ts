import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionLost, MqttTransport, type Connection, type Message } from '../../src/wire/mqtt/index.ts';
import { DeviceSession } from '../../src/device/session/index.ts';
import { clientIdentifier, deviceTopics } from '../../src/wire/report/index.ts';
import { sampleReport } from '../support/sample-messages.ts';
import { systemClock, until } from '../support/system-clock.ts';
import type { BrokerUnderTest } from './broker-under-test.ts';
import { silentClient } from './silent-client.ts';

/** One broker, which runs, and what a question needs to ask it. */
export interface Asked {
  readonly broker: BrokerUnderTest;
  readonly version: 4 | 5;
  /** A client on the node, ended after the question. */
  readonly client: (node: number, options?: ClientOptions) => Promise<Client>;
}

interface ClientOptions {
  readonly id?: string;
  readonly will?: Message;
}

export interface Client {
  readonly connection: Connection;
  /** What came, oldest first. */
  readonly messages: readonly Message[];
  retain(topic: string, content: string | Uint8Array): Promise<void>;
}

/** What a broker does not do within this time it does not do. */
const patienceMs = 10_000;
let asked = 0;
/** Topics of a device of which the broker has not heard before. */
const freshTopics = () => deviceTopics('harbour', `crane-${++asked}`);
const text = ({ payload }: Message): string => Buffer.from(payload).toString();

async function within(condition: () => boolean): Promise<boolean> {
  for (let waited = 0; waited < patienceMs; waited += 10) {
    if (condition()) return true;
    await sleep(10);
  }
  return condition();
}

export async function connect(url: string, version: 4 | 5, id: string, will?: Message): Promise<Client> {
  const messages: Message[] = [];
  const connection = await new MqttTransport({ url, version }).connect({
    clientId: id,
    keepaliveSeconds: 300,
    onMessage: (message) => messages.push(message),
    ...(will === undefined ? {} : { will }),
  });
  return {
    connection,
    messages,
    retain: (topic, content) =>
      connection.publish({ topic, payload: Buffer.from(content) }, { retain: true }),
  };
}

const lastNode = ({ broker }: Asked): number => broker.urls.length - 1;

/** Whether `filter` brings a new client on `node` what is retained on `topic`. */
async function isRetained(asking: Asked, node: number, topic: string, filter = topic): Promise<boolean> {
  const reader = await asking.client(node);
  await reader.connection.subscribe([filter]);
  return within(() => reader.messages.some((message) => message.topic === topic));
}

/** Kills every node right after the broker has acknowledged a retained message, or later. */
async function survivesCrash(asking: Asked, laterMs: number): Promise<boolean> {
  const { desired } = freshTopics();
  await (await asking.client(0)).retain(desired, 'version 2');
  if (laterMs > 0) await sleep(laterMs);
  await Promise.all(asking.broker.urls.map((_, node) => asking.broker.kill(node)));
  await asking.broker.start();
  return isRetained(asking, 0, desired);
}

export interface Question {
  readonly words: string;
  /** Asked only of brokers with more than one node. */
  readonly clusters?: true;
  /** Asked by `npm run test:brokers` only. */
  readonly slow?: true;
  readonly ask: (asking: Asked) => Promise<string>;
}

const yes = (answer: boolean): string => (answer ? 'yes' : 'no');

/** Those that end nodes are last. */
export const questions: readonly Question[] = [
  {
    words: 'a desired state that was retained before the device came reaches it',
    async ask(asking) {
      const { desired } = freshTopics();
      await (await asking.client(0)).retain(desired, 'version 1');
      return yes(await isRetained(asking, 0, desired));
    },
  },
  {
    words: 'the same on another node',
    clusters: true,
    async ask(asking) {
      const { desired } = freshTopics();
      await (await asking.client(0)).retain(desired, 'version 1');
      return yes(await isRetained(asking, lastNode(asking), desired));
    },
  },
  {
    words: 'a subscription with `+` brings retained reports',
    async ask(asking) {
      const { reported } = freshTopics();
      await (await asking.client(0)).retain(reported, 'report');
      return yes(await isRetained(asking, 0, reported, 'v1/harbour/d/+/reported'));
    },
  },
  {
    words: 'an empty retained message removes what is retained',
    async ask(asking) {
      const { reported } = freshTopics();
      const writer = await asking.client(0);
      await writer.retain(reported, 'report');
      await writer.retain(reported, '');
      const later = freshTopics().reported;
      await writer.retain(later, 'report');
      const reader = await asking.client(0);
      await reader.connection.subscribe([reported]);
      await reader.connection.subscribe([later]);
      const came = await within(() => reader.messages.some(({ topic }) => topic === later));
      return yes(came && reader.messages.every(({ topic }) => topic === later));
    },
  },
  {
    words: 'a message of 128 KiB arrives whole',
    async ask(asking) {
      const { desired } = freshTopics();
      const content = Buffer.alloc(128 * 1024, 'wherry');
      const reader = await asking.client(lastNode(asking));
      await reader.connection.subscribe([desired]);
      await (await asking.client(0)).retain(desired, content);
      return yes(await within(() => reader.messages.some(({ payload }) => content.equals(payload))));
    },
  },
  {
    words: 'two hundred messages arrive in their order, none twice',
    async ask(asking) {
      const { event } = freshTopics();
      const reader = await asking.client(lastNode(asking));
      await reader.connection.subscribe([event]);
      const writer = await asking.client(0);
      const sent = Array.from({ length: 200 }, (_, index) => String(index));
      await Promise.all(
        sent.map((content) =>
          writer.connection.publish({ topic: event, payload: Buffer.from(content) }, { retain: false }),
        ),
      );
      await within(() => reader.messages.length >= sent.length);
      return yes(reader.messages.map(text).join() === sent.join());
    },
  },
  {
    words: 'the will of a device that was cut off is published and retained',
    async ask(asking) {
      const { live } = freshTopics();
      const observer = await asking.client(lastNode(asking));
      await observer.connection.subscribe([live]);
      const device = await asking.client(0, { will: { topic: live, payload: Buffer.from('down') } });
      await device.retain(live, 'up');
      await within(() => observer.messages.some((message) => text(message) === 'up'));
      device.connection.abort(new ConnectionLost('closed', 'cut'));
      if (!(await within(() => observer.messages.some((message) => text(message) === 'down')))) return 'no';
      const later = await asking.client(0);
      await later.connection.subscribe([live]);
      await within(() => later.messages.length > 0);
      return yes(later.messages.map(text).join() === 'down');
    },
  },
  {
    words: 'a second client of the same identifier ends the first',
    async ask(asking) {
      const id = clientIdentifier('harbour', `crane-${++asked}`);
      const first = await asking.client(0, { id });
      let ended = false;
      void first.connection.ended.then(() => (ended = true));
      const second = await asking.client(lastNode(asking), { id });
      const took = await within(() => ended);
      await second.retain(freshTopics().reported, 'works');
      return yes(took);
    },
  },
  {
    words: 'and the will of the first is published then',
    async ask(asking) {
      const { live } = freshTopics();
      const id = clientIdentifier('harbour', `crane-${asked}`);
      const observer = await asking.client(lastNode(asking));
      await observer.connection.subscribe([live]);
      await asking.client(0, { id, will: { topic: live, payload: Buffer.from('down') } });
      await asking.client(lastNode(asking), { id });
      return yes(await within(() => observer.messages.length > 0));
    },
  },
  {
    words: 'keepalive periods after which a silent client is cut off',
    slow: true,
    async ask({ broker }) {
      const keepalive = 10;
      const silentMs = await silentClient(broker.urls[0] ?? '', keepalive);
      const periods = silentMs / 1000 / keepalive;
      return periods < 1 ? 'fewer than 1' : periods < 2.2 ? '1.5 to 2' : 'about 3';
    },
  },
  {
    words: 'a device connects again after a crash of the broker, reports and takes a command',
    async ask({ broker, version, client }) {
      const device = `crane-${++asked}`;
      const { desired, reported } = deviceTopics('harbour', device);
      const commands: string[] = [];
      let up = false;
      const session = new DeviceSession({
        fleet: 'harbour',
        device,
        bootId: 'boot-a',
        transport: new MqttTransport({ url: broker.urls[0] ?? '', version }),
        clock: systemClock,
        journal: { log: () => undefined },
        policy: { bootSpreadMs: 0, windowMs: 20, baseMs: 10, capMs: 40 },
      });
      try {
        session.onConnection((state) => (up = state.up));
        session.onDesired((payload) => commands.push(Buffer.from(payload).toString()));
        session.start();
        await until(() => up);
        await Promise.all(broker.urls.map((_, node) => broker.kill(node)));
        await until(() => !up);
        await broker.start();
        await until(() => up);
        const operator = await client(0);
        await operator.connection.subscribe([reported]);
        session.publishReport(sampleReport());
        await operator.retain(desired, 'version 3');
        const isThere = () => operator.messages.length > 0 && commands.includes('version 3');
        return yes(await within(isThere));
      } finally {
        await session.close();
      }
    },
  },
  {
    words: 'a desired state is kept when the node that took it is killed',
    clusters: true,
    async ask(asking) {
      const { desired } = freshTopics();
      await (await asking.client(0)).retain(desired, 'version 2');
      await asking.broker.kill(0);
      try {
        // The others may have to agree on a new leader first, and a device tries again, too.
        for (;;) {
          const kept = await isRetained(asking, 1, desired).catch(() => undefined);
          if (kept !== undefined) return yes(kept);
          await sleep(500);
        }
      } finally {
        await asking.broker.start();
      }
    },
  },
  {
    words: 'a desired state is kept when all of the broker is killed 5 s after its PUBACK',
    slow: true,
    ask: async (asking) => yes(await survivesCrash(asking, 5000)),
  },
  {
    words: 'the same, killed directly after its PUBACK',
    slow: true,
    async ask(asking) {
      for (let attempt = 0; attempt < 3; attempt++)
        if (!(await survivesCrash(asking, 0))) return 'not always';
      return 'yes';
    },
  },
];
