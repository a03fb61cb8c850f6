import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { MqttTransport } from '../../../src/wire/mqtt/mqtt-transport.ts';
import type { Connection } from '../../../src/wire/mqtt/transport.ts';
import { hasMosquitto, mosquittoBroker } from '../../support/real-brokers.ts';

const base = 'v1/harbour/d/crane-7';

/** Closes what a test opened; called after each test, also a failed one. */
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

describe('what a broker refuses on an open connection', () => {
  async function connected(url: string, version: 4 | 5): Promise<Connection> {
    const connection = await new MqttTransport({ url, version }).connect({
      clientId: 'x',
      keepaliveSeconds: 300,
      onMessage: () => undefined,
    });
    opened.push(() => connection.close());
    return connection;
  }

  async function mosquitto(config: string): Promise<string> {
    const broker = await mosquittoBroker(config);
    await broker.start();
    opened.push(() => broker.kill());
    return broker.url;
  }

  /** A server on a loopback port that calls `answer` with each chunk that it receives. */
  async function answering(answer: (chunk: Buffer, socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => answer(chunk, socket));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push(async () => {
      server.close();
      await once(server, 'close');
    });
    return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const message = { topic: `${base}/desired`, payload: new Uint8Array(3000) };

  it.runIf(hasMosquitto)(
    'is a packet that is larger than it announced (MQTT 5, Maximum Packet Size)',
    async () => {
      const connection = await connected(await mosquitto('max_packet_size 2000'), 5);
      const most = connection.mostPayloadBytes(message.topic);
      expect(most).toBeGreaterThan(1900);
      await connection.publish({ ...message, payload: new Uint8Array(most) }, { retain: true });
      await expect(connection.publish(message, { retain: true })).rejects.toMatchObject({
        reason: 'too-large',
        message: expect.stringMatching(
          /at most 2000 bytes, and the message for .*desired needs 30\d\d/,
        ) as string,
      });
      await connection.publish({ ...message, payload: new Uint8Array(100) }, { retain: true });
    },
  );

  it.runIf(hasMosquitto)('is a packet that is too large, which MQTT 3.1.1 cannot report', async () => {
    const connection = await connected(await mosquitto('max_packet_size 2000'), 4);
    await expect(connection.publish(message, { retain: true })).rejects.toMatchObject({
      reason: 'closed',
      message: expect.stringMatching(/before a message of 3000 bytes was acknowledged/) as string,
    });
  });

  const wanted = [`${base}/reported`, `${base}/live`];

  it.runIf(hasMosquitto)('is a subscription that is too large, which MQTT 3.1.1 cannot report', async () => {
    const connection = await connected(await mosquitto('max_packet_size 60'), 4);
    await expect(connection.subscribe(wanted)).rejects.toMatchObject({
      reason: 'closed',
      message: `the connection was closed: ECONNRESET before the subscription to ${base}/reported and 1 more (68 bytes) was acknowledged; look whether the broker lets this client read that and takes packets of that size`,
    });
  });

  it.runIf(hasMosquitto)('is a subscription larger than Mosquitto announced (MQTT 5)', async () => {
    const connection = await connected(await mosquitto('max_packet_size 60'), 5);
    await expect(connection.subscribe(wanted)).rejects.toMatchObject({
      reason: 'too-large',
      message: `the broker takes packets of at most 60 bytes, and the subscription to ${base}/reported and 1 more needs 68; raise its Maximum Packet Size`,
    });
    await connection.subscribe(['v1/a']);
  });

  it('is a packet that is too large, named in the DISCONNECT of the broker (MQTT 5)', async () => {
    const url = await answering((chunk, socket) => {
      if (chunk[0] === 0x10) socket.write(Buffer.from([0x20, 3, 0, 0, 0]));
      // Unread parts of the packet would reset the connection, and the DISCONNECT would be lost.
      if (chunk[0] === 0x82) socket.end(Buffer.from([0xe0, 2, 0x95, 0]), () => socket.destroy());
    });
    const connection = await connected(url, 5);
    await expect(connection.subscribe(wanted)).rejects.toMatchObject({
      reason: 'too-large',
      message: 'the broker ended the session: Packet too large (reason 0x95)',
    });
  });

  it('is a connection that ends at once when a packet is sent, named without an error of the system', async () => {
    const url = await answering((chunk, socket) => {
      if (chunk[0] === 0x10) socket.write(Buffer.from([0x20, 2, 0, 0]));
      else socket.resetAndDestroy();
    });
    const connection = await connected(url, 4);
    await expect(connection.subscribe(wanted)).rejects.toMatchObject({
      message: expect.stringMatching(
        /^the connection was closed: ECONNRESET before the subscription/,
      ) as string,
    });
  });

  it.runIf(hasMosquitto)(
    'is a message that the account may not write, named by the PUBACK (MQTT 5)',
    async () => {
      const acl = join(await mkdtemp(join(tmpdir(), 'wherry-acl-')), 'acl');
      opened.push(() => rm(dirname(acl), { recursive: true }));
      await chmod(dirname(acl), 0o755);
      await writeFile(acl, 'topic read v1/#\n');
      const connection = await connected(await mosquitto(`acl_file ${acl}`), 5);
      await expect(connection.publish(message, { retain: true })).rejects.toMatchObject({
        reason: 'credentials',
        message: `the broker did not take the message for ${base}/desired: Not authorized (reason 0x87)`,
      });
    },
  );

  it.each<[4 | 5, number, number[], number[], string]>([
    [4, 0x80, [0x20, 2, 0, 0], [], 'Unspecified error (reason 0x80)'],
    [5, 0x87, [0x20, 3, 0, 0, 0], [0], 'Not authorized (reason 0x87)'],
    [5, 0x97, [0x20, 3, 0, 0, 0], [0], 'Quota exceeded (reason 0x97)'],
  ])(
    'is a subscription, named by the SUBACK (version %i, code %i)',
    async (version, code, connack, properties, why) => {
      const url = await answering((chunk, socket) => {
        if (chunk[0] === 0x10) socket.write(Buffer.from(connack));
        if (chunk[0] !== 0x82) return;
        const answer = [...chunk.subarray(2, 4), ...properties, code];
        socket.write(Buffer.from([0x90, answer.length, ...answer]));
      });
      const connection = await connected(url, version);
      await expect(connection.subscribe([`${base}/reported`])).rejects.toMatchObject({
        reason: 'credentials',
        message: `the broker does not let this client read ${base}/reported: ${why}`,
      });
    },
  );

  it('is the connection that ended before the SUBACK, and nothing else fails', async () => {
    const url = await answering((chunk, socket) => {
      if (chunk[0] === 0x10) socket.write(Buffer.from([0x20, 2, 0, 0]));
      if (chunk[0] === 0x82) socket.destroy();
    });
    const connection = await connected(url, 4);
    await expect(connection.subscribe([`${base}/reported`])).rejects.toMatchObject({ reason: 'closed' });
    await connection.ended;
  });
});
