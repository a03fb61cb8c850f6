import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import { afterEach, describe, expect, it } from 'vitest';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { freePort } from '../../../qemu/free-port.ts';
import { MqttTransport } from '../../../src/wire/mqtt/mqtt-transport.ts';
import { ConnectionLost, type Message } from '../../../src/wire/mqtt/transport.ts';
import { hasMosquitto, mosquittoBroker } from '../../support/real-brokers.ts';
import { until } from '../../support/system-clock.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(async () => {
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

/** aedes behind a WebSocket server that accepts the path `/mqtt` only. */
async function aedesBehindWebSocket(): Promise<string> {
  const aedes = await Aedes.createBroker();
  const http = createHttpServer();
  const sockets = new WebSocketServer({ server: http, path: '/mqtt' });
  sockets.on('connection', (socket, request) => aedes.handle(createWebSocketStream(socket), request));
  const port = await listening(http);
  opened.push(async () => {
    for (const client of sockets.clients) client.terminate();
    await new Promise<void>((resolve) => aedes.close(resolve));
  });
  return `ws://127.0.0.1:${port}`;
}

/** mosquitto with a second listener for WebSocket. */
async function mosquittoWithWebSocket(version: string): Promise<string> {
  const port = await freePort();
  const broker = await mosquittoBroker(`listener ${port} 127.0.0.1\nprotocol websockets`);
  await broker.start();
  opened.push(() => broker.kill());
  return `ws://127.0.0.1:${port}${version}`;
}

async function connected(url: string, version: 4 | 5, ca?: string) {
  const messages: Message[] = [];
  const dropped: string[] = [];
  const connection = await new MqttTransport({ url, version, ...(ca === undefined ? {} : { ca }) }).connect({
    clientId: 'crane-7',
    keepaliveSeconds: 60,
    onMessage: (message) => messages.push(message),
    onDropped: (_topic, { code }) => dropped.push(code),
  });
  opened.push(() => connection.close());
  return { connection, messages, dropped };
}

// mosquitto 2.0 reads from a WebSocket some kilobytes each 100 ms.
const brokers: (readonly [string, 4 | 5, number, () => Promise<string>])[] = [
  ['aedes with MQTT 3.1.1', 4, 128, aedesBehindWebSocket],
  ...(hasMosquitto
    ? ([
        ['mosquitto with MQTT 3.1.1', 4, 8, () => mosquittoWithWebSocket('/mqtt')],
        ['mosquitto with MQTT 5', 5, 8, () => mosquittoWithWebSocket('')],
      ] as const)
    : []),
];

describe.each(brokers)('MQTT in a WebSocket of %s', (_name, version, kibibytes, start) => {
  it('[C158] carries messages both ways, and ends with a goodbye', async () => {
    const { connection, messages } = await connected(await start(), version);
    await connection.subscribe(['a/b']);
    const payload = Buffer.alloc(kibibytes * 1024, 'x');
    await connection.publish({ topic: 'a/b', payload }, { retain: true });
    await until(() => messages.length === 1);
    expect(Buffer.from(messages[0]?.payload ?? []).equals(payload)).toBe(true);
    await connection.close();
    expect((await connection.ended).message).toBe('closed by this side');
  });
});

it('[C158] drops a message that is too large, and continues', async () => {
  const url = await aedesBehindWebSocket();
  const { connection, messages, dropped } = await connected(url, 4);
  await connection.subscribe(['a/b']);
  await connection.publish({ topic: 'a/b', payload: Buffer.alloc(300 * 1024) }, { retain: false });
  await until(() => dropped.length === 1);
  expect(dropped).toEqual(['envelope-too-large']);
  await connection.publish({ topic: 'a/b', payload: Buffer.from('small') }, { retain: false });
  await until(() => messages.length === 1);
});

it.each([
  [60, 'the connection was closed after 60 s without a packet; if that repeats, a proxy ends idle'],
  [5, 'the connection was closed'],
])('a connection that something between closes after %d idle seconds says so', async (idle, words) => {
  const sockets: Socket[] = [];
  const port = await listening(
    createTcpServer((socket) => {
      sockets.push(socket);
      socket.once('data', () => socket.write(Buffer.from([0x20, 2, 0, 0])));
    }),
  );
  let passedMs = 0;
  const clock = { nowMs: Date.now, monotonicMs: () => passedMs };
  const transport = new MqttTransport({ url: `mqtt://127.0.0.1:${port}`, version: 4 }, clock);
  const options = { clientId: 'crane-7', keepaliveSeconds: 300, onMessage: () => undefined };
  const { ended } = await transport.connect(options);
  passedMs = idle * 1000;
  for (const socket of sockets) socket.destroy();
  const { reason, message } = await ended;
  expect(reason).toBe('closed');
  expect(message.slice(0, words.length)).toBe(words);
  expect(message.length > words.length).toBe(idle === 60);
});

it.runIf(hasMosquitto)('[C158] verifies the certificate of a broker with wss', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-wss-'));
  opened.push(() => rm(directory, { recursive: true }));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  execFileSync('openssl', ['req', '-x509', ...newKey, '-out', cert, '-days', '2', ...subject], {
    stdio: 'pipe',
  });
  const port = await freePort();
  const tls = `certfile ${cert}\nkeyfile ${key}`;
  const broker = await mosquittoBroker(`listener ${port}\nprotocol websockets\n${tls}`);
  await broker.start();
  opened.push(() => broker.kill());
  const url = `wss://localhost:${port}`;
  const { connection } = await connected(url, 4, await readFile(cert, 'utf8'));
  await connection.publish({ topic: 'a/b', payload: Buffer.from('x') }, { retain: false });
  await expect(connected(url, 4)).rejects.toMatchObject({ reason: 'tls' });
  await expect(
    connected(url.replace('localhost', '127.0.0.1'), 4, await readFile(cert, 'utf8')),
  ).rejects.toMatchObject({ reason: 'tls' });
});

describe('a ws: address without a broker', () => {
  const answer =
    (status: number): RequestListener =>
    (_request, response) =>
      response.writeHead(status).end();

  it.each([
    [404, 'protocol'],
    [401, 'credentials'],
    [403, 'credentials'],
    [429, 'quota'],
    [503, 'busy'],
    [200, 'protocol'],
  ] as const)('[C158] reports the HTTP status %i as %s', async (status, reason) => {
    const server = createHttpServer(answer(status));
    const url = `ws://127.0.0.1:${await listening(server)}`;
    const failure = await connected(url, 4).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConnectionLost);
    expect(failure).toMatchObject({
      reason,
      message: `the broker answered the request for a WebSocket with HTTP status ${status}`,
    });
  });

  it('[C158] reports a server without HTTP as protocol', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.end('SSH-2.0-none\r\n');
    });
    const url = `ws://127.0.0.1:${await listening(server)}`;
    await expect(connected(url, 4)).rejects.toMatchObject({ reason: 'protocol' });
  });

  it('[C158] is unreachable when no program listens', async () => {
    await expect(connected(`ws://127.0.0.1:${await freePort()}`, 4)).rejects.toMatchObject({
      reason: 'unreachable',
    });
  });
});
