import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerUnderTest } from '../../test/brokers/broker-under-test.ts';
import { hasNats, natsServers } from '../../test/brokers/nats.ts';
import { hasRabbitmq, rabbitmqNodes } from '../../test/brokers/rabbitmq.ts';
import { hasMosquitto, mosquittoBroker } from '../../test/support/real-brokers.ts';

/** Brokers of Debian's packages, on loopback. */
export const fleetBrokers = ['mosquitto', 'rabbitmq', 'nats'] as const;
export type FleetBroker = (typeof fleetBrokers)[number];

export function isFleetBroker(name: string): name is FleetBroker {
  return fleetBrokers.some((known) => known === name);
}

/** One Mosquitto, or a cluster of three nodes. @throws Error when it is not installed */
export async function makeFleetBroker(name: FleetBroker): Promise<BrokerUnderTest> {
  const missing = (debianPackage: string) =>
    new Error(`${name} is missing: install Debian's package ${debianPackage}`);
  switch (name) {
    case 'mosquitto': {
      if (!hasMosquitto) throw missing('mosquitto');
      return await manyOnMosquitto();
    }
    case 'rabbitmq':
      if (!hasRabbitmq) throw missing('rabbitmq-server');
      return await rabbitmqNodes(3);
    case 'nats':
      if (!hasNats) throw missing('nats-server');
      return await natsServers(3);
  }
}

/**
 * The settings of docs/operator.md for many devices: Mosquitto writes its whole store each time,
 * and by default drops messages when more than 1,000 are queued for a client.
 */
async function manyOnMosquitto(): Promise<BrokerUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-mosquitto-store-'));
  const broker = await mosquittoBroker(
    `persistence true\npersistence_location ${directory}/\nautosave_interval 10\nmax_queued_messages 0`,
  );
  return {
    urls: [broker.url],
    start: () => broker.start(),
    kill: () => broker.kill(),
    end: async () => {
      await broker.kill();
      await rm(directory, { recursive: true });
    },
  };
}
