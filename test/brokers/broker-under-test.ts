import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aedesBroker, hasMosquitto, mosquittoBroker, type RealBroker } from '../support/real-brokers.ts';
import type { Column } from './answers.ts';
import { hasNats, natsServers } from './nats.ts';
import { hasRabbitmq, rabbitmqNodes, rabbitmqRelease } from './rabbitmq.ts';

/** A broker of one or more nodes, all on loopback, which a test starts, kills and ends. */
export interface BrokerUnderTest {
  /** One address for each node. */
  readonly urls: readonly string[];
  /** Starts every node that does not run, and waits until the broker takes clients. */
  start(): Promise<void>;
  /** Ends one node at once, as a crash does. What it has on its disk stays. */
  kill(node: number): Promise<void>;
  /** Ends all of it and removes its files. */
  end(): Promise<void>;
}

export interface BrokerKind {
  readonly name: string;
  /** Of the table of answers. */
  readonly column: Column;
  /** 4 is MQTT 3.1.1. */
  readonly version: 4 | 5;
  readonly nodes: 1 | 3;
  /** Of the installed broker, where answers depend on it. */
  readonly release?: string;
  /** Why it is not tried here, if it is not. */
  readonly missing?: string;
  readonly make: () => Promise<BrokerUnderTest>;
}

/** The settings of docs/operator.md. */
async function mosquitto(): Promise<BrokerUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-mosquitto-store-'));
  const settings = `persistence true\npersistence_location ${directory}/\nautosave_on_changes true\nautosave_interval 1`;
  const one = oneNode(await mosquittoBroker(settings));
  return {
    ...one,
    end: async () => {
      await one.end();
      await rm(directory, { recursive: true });
    },
  };
}

function oneNode(broker: RealBroker): BrokerUnderTest {
  return {
    urls: [broker.url],
    start: () => broker.start(),
    kill: () => broker.kill(),
    end: () => broker.kill(),
  };
}

/**
 * Brokers that take seconds to start, and questions that take long, are for `npm run test:brokers`.
 */
export const everything = process.env['WHERRY_BROKERS'] === 'all';

function servers(
  column: Column,
  nodes: 1 | 3,
  installed: boolean,
  make: (nodes: number) => Promise<BrokerUnderTest>,
  release?: string,
): BrokerKind {
  const known = release === undefined ? {} : { release };
  const kind = { name: column, column, nodes, version: 4, make: () => make(nodes), ...known } as const;
  if (!everything) return { ...kind, missing: 'npm run test:brokers' };
  return installed ? kind : { ...kind, missing: `the Debian package of ${column} is not installed` };
}

const noMosquitto = hasMosquitto ? {} : { missing: 'mosquitto is not installed' };

export const brokerKinds: readonly BrokerKind[] = [
  { name: 'aedes', column: 'aedes', nodes: 1, version: 4, make: async () => oneNode(await aedesBroker()) },
  { name: 'Mosquitto', column: 'Mosquitto', nodes: 1, version: 4, make: mosquitto, ...noMosquitto },
  { name: 'Mosquitto, MQTT 5', column: 'Mosquitto', nodes: 1, version: 5, make: mosquitto, ...noMosquitto },
  servers('RabbitMQ', 1, hasRabbitmq, rabbitmqNodes, rabbitmqRelease),
  servers('RabbitMQ, 3 nodes', 3, hasRabbitmq, rabbitmqNodes, rabbitmqRelease),
  servers('NATS', 1, hasNats, natsServers),
  servers('NATS, 3 nodes', 3, hasNats, natsServers),
];
