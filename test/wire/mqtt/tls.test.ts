import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConnectionLost } from '../../../src/wire/mqtt/transport.ts';
import { MqttTransport, type BrokerAddress } from '../../../src/wire/mqtt/mqtt-transport.ts';
import { systemClock } from '../../../src/core/ports/index.ts';
import { loopbackCertificate } from '../../support/loopback-certificate.ts';
import { hasMosquitto, mosquittoBroker, type RealBroker } from '../../support/real-brokers.ts';

/** A certificate authority with a server and a client certificate, made by openssl. */
async function certificates(directory: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test ca',
    '-days',
    '2',
  );
  for (const [name, subject] of [
    ['server', '/CN=localhost'],
    ['client', '/CN=crane-7'],
  ] as const) {
    openssl(
      'req',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      subject,
      '-addext',
      'subjectAltName=DNS:localhost',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-days',
      '2',
      '-out',
      `${name}.pem`,
    );
  }
  const read = (name: string) => readFile(join(directory, name), 'utf8');
  return { ca: await read('ca.pem'), cert: await read('client.pem'), key: await read('client.key') };
}

describe.runIf(hasMosquitto)('a broker that demands a client certificate', () => {
  let directory: string;
  let broker: RealBroker;
  let files: { ca: string; cert: string; key: string };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-tls-'));
    files = await certificates(directory);
    const at = (name: string) => join(directory, name);
    broker = await mosquittoBroker(
      `cafile ${at('ca.pem')}\ncertfile ${at('server.pem')}\nkeyfile ${at('server.key')}\nrequire_certificate true`,
    );
    await broker.start();
  });

  afterAll(async () => {
    await broker.kill();
    await rm(directory, { recursive: true });
  });

  /** Connects and returns "connected", or the reason and message of the failure. */
  async function attempt(address: Partial<BrokerAddress>, host = 'localhost'): Promise<string> {
    const transport = new MqttTransport({ url: `mqtts://${host}:${broker.port}`, version: 5, ...address });
    try {
      const connection = await transport.connect({
        clientId: 'x',
        keepaliveSeconds: 300,
        onMessage: () => undefined,
      });
      await connection.close();
      return 'connected';
    } catch (error) {
      if (error instanceof ConnectionLost) return `${error.reason}: ${error.message}`;
      throw error;
    }
  }

  it('accepts a device with one, also when it connects again', async () => {
    const transport = new MqttTransport({ url: `mqtts://localhost:${broker.port}`, version: 4, ...files });
    for (let round = 0; round < 2; round++) {
      const connection = await transport.connect({
        clientId: 'x',
        keepaliveSeconds: 300,
        onMessage: () => undefined,
      });
      await connection.publish({ topic: 'a', payload: Buffer.from('b') }, { retain: false });
      await connection.close();
    }
  });

  it('is refused by a device that does not trust its authority', async () => {
    expect(await attempt({ cert: files.cert, key: files.key })).toMatch(/^tls: /);
  });

  it('is refused under another name', async () => {
    expect(await attempt(files, '127.0.0.1')).toMatch(/^tls: .*altname/i);
  });

  it('refuses a device without one', async () => {
    expect(await attempt({ ca: files.ca })).toMatch(/^(tls|closed): /);
  });

  it('needs a certificate and its key together', () => {
    expect(() => new MqttTransport({ url: 'mqtts://x', version: 4, cert: files.cert })).toThrow(/or neither/);
  });

  it('is not reached with an invalid key', async () => {
    expect(await attempt({ ...files, key: 'no key' })).toMatch(/^tls: the certificate or key cannot be used/);
  });
});

it('resumes the TLS session when a transport connects again', async () => {
  const certificate = loopbackCertificate(['localhost']);
  const broker = await Aedes.createBroker();
  const resumed: boolean[] = [];
  const server = createServer(certificate, (socket) => {
    resumed.push(socket.isSessionReused());
    broker.handle(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const url = `mqtts://localhost:${(server.address() as AddressInfo).port}`;
    const transport = new MqttTransport({ url, version: 4, ca: certificate.cert });
    for (let round = 0; round < 2; round++) {
      const connection = await transport.connect({
        clientId: 'x',
        keepaliveSeconds: 300,
        onMessage: () => undefined,
      });
      await connection.publish({ topic: 'a', payload: Buffer.from('b') }, { retain: false });
      await connection.close();
    }
    expect(resumed).toEqual([false, true]);
  } finally {
    server.close();
    await new Promise<void>((resolve) => broker.close(resolve));
  }
});

describe('[C352] a TLS session that is resumed', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('ends with the certificate of the broker: %s', async (version) => {
    const tls = loopbackCertificate();
    const aedes = await Aedes.createBroker();
    const resumed: boolean[] = [];
    const server = createServer({ ...tls, maxVersion: version }, (socket) => {
      resumed.push(socket.isSessionReused());
      aedes.handle(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    let nowMs = Date.now();
    const address = { url: `mqtts://127.0.0.1:${port}`, version: 4, ca: tls.cert } as const;
    const transport = new MqttTransport(address, { ...systemClock, nowMs: () => nowMs });
    const visit = async () => {
      const connection = await transport.connect({
        clientId: 'harbour_crane-7',
        keepaliveSeconds: 60,
        onMessage: () => undefined,
      });
      await connection.close();
    };
    await visit();
    await visit();
    nowMs = Date.parse(new X509Certificate(tls.cert).validTo);
    await visit();
    expect(resumed).toEqual([false, true, false]);
    server.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
  });
});
