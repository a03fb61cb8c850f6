import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openBrokers } from '../../../src/device/agent/broker-addresses.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';
import type { Connection } from '../../../src/wire/mqtt/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { earlyCertificate, loopbackCertificate } from '../../support/loopback-certificate.ts';
import { until } from '../../support/system-clock.ts';

/** A TLS broker that requires a client certificate and records its name. */

const directory = mkdtempSync(join(tmpdir(), 'wherry-renew-'));
const at = (name: string): string => join(directory, name);
const text = (name: string): string => readFileSync(at(name), 'utf8');
const sockets = new Set<TLSSocket>();
const names: string[] = [];
let url: string;
let close: () => Promise<void>;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
}

beforeAll(async () => {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test ca', '-days', '9');
  for (const name of ['localhost', 'old', 'new']) {
    const alt = ['-addext', 'subjectAltName=DNS:localhost'];
    openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`, ...alt);
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-days', '2', '-out', `${name}.pem`);
  }
  const aedes = await Aedes.createBroker();
  const server = createServer(
    { cert: text('localhost.pem'), key: text('localhost.key'), ca: text('ca.pem'), requestCert: true },
    (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
      names.push(String(socket.getPeerCertificate().subject.CN));
      aedes.handle(socket);
    },
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `mqtts://localhost:${(server.address() as AddressInfo).port}`;
  close = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
  };
});
afterAll(async () => {
  await close();
  rmSync(directory, { recursive: true });
});

const put = (content: string, name: string): void => {
  writeFileSync(at(`${name}.new`), content);
  renameSync(at(`${name}.new`), at(name));
};

describe('a client certificate that is renewed in place', () => {
  beforeEach(() => {
    names.length = 0;
    for (const half of ['pem', 'key']) cpSync(at(`old.${half}`), at(`client.${half}`));
  });

  function device() {
    const clock = new FakeClock(Date.now());
    const lines: string[] = [];
    const config = {
      ...{ urls: [url] as const, version: 4 as const, bootSpreadSeconds: 0 },
      ...{ ca: at('ca.pem'), cert: at('client.pem'), key: at('client.key') },
    };
    const ports = {
      clock,
      journal: { log: (_level: string, message: string) => void lines.push(message) },
    };
    const brokers = openBrokers(config, ports);
    const options = { clientId: 'harbour_crane-7', keepaliveSeconds: 60, onMessage: () => undefined };
    return {
      ...{ clock, lines },
      connect: (): Promise<Connection> => brokers.connect(options),
    };
  }

  it('[C237] is used by the next connection', async () => {
    const { connect } = device();
    await (await connect()).close();
    put(text('new.key'), 'client.key');
    put(text('new.pem'), 'client.pem');
    await (await connect()).close();
    expect(names).toEqual(['old', 'new']);
  });

  it('[C237] is not used while it is incomplete or does not match its key', async () => {
    const { connect, lines } = device();
    for (const cert of [text('new.pem').slice(0, 300), '', text('new.pem')]) {
      put(cert, 'client.pem');
      await (await connect()).close();
    }
    expect(names).toEqual(['old', 'old', 'old']);
    expect(lines.at(-1)).toContain('the key is not that of the certificate');
    put(text('new.key'), 'client.key');
    await (await connect()).close();
    expect(names.at(-1)).toBe('new');
  });

  it('[C237] may share a file with its key, which one rename replaces', async () => {
    for (const half of ['pem', 'key']) put(text('old.pem') + text('old.key'), `client.${half}`);
    const { connect } = device();
    await (await connect()).close();
    for (const half of ['pem', 'key']) put(text('new.pem') + text('new.key'), `client.${half}`);
    await (await connect()).close();
    expect(names).toEqual(['old', 'new']);
  });

  it('[C237] ends a connection whose own certificate expires within a day', async () => {
    const { connect, clock } = device();
    let ended = false;
    const connection = await connect();
    void connection.ended.then(() => (ended = true));
    put(text('new.key'), 'client.key');
    put(text('new.pem'), 'client.pem');
    const hour = 3_600_000;
    await clock.pass(23 * hour);
    expect(ended).toBe(false);
    await clock.pass(2 * hour);
    await until(() => ended);
    await (await connect()).close();
    expect(names).toEqual(['old', 'new']);
  });

  it('[C237] leaves a connection alone while there is no other certificate', async () => {
    const { connect, clock } = device();
    let ended = false;
    const connection = await connect();
    void connection.ended.then(() => (ended = true));
    await clock.pass(60 * 3_600_000);
    expect(ended).toBe(false);
    await connection.close();
  });
});

describe('the files of the broker', () => {
  const ports = { clock: new FakeClock(0), journal: { log: () => undefined } };

  it.each(['ca', 'cert', 'key', 'passwordFile'])('[C275] are refused at the start if empty: %s', (file) => {
    put(file === 'passwordFile' ? '\n' : '', 'empty');
    const config = { urls: [url] as const, version: 4 as const, bootSpreadSeconds: 0, [file]: at('empty') };
    expect(() => openBrokers(config, ports)).toThrow(
      new Refusal('config-invalid', `wherry.toml: broker: ${at('empty')} is empty`),
    );
  });
});

describe('a broker whose certificate does not count [C259]', () => {
  it.each([
    ['because it is not valid yet is tried again once the clock was set', true, true, ['raise'], 2],
    [
      'because it is not valid yet is not tried again when the clock was left alone',
      false,
      true,
      ['raise'],
      1,
    ],
    ['because its authority is unknown leaves the clock alone', true, false, [], 1],
  ])('%s', async (_what, isRaised, isTrusted, calls, attempts) => {
    const { key, cert } = isTrusted ? earlyCertificate() : loopbackCertificate();
    let connections = 0;
    const server = createServer({ key, cert }).listen(0, '127.0.0.1');
    server.on('connection', () => (connections += 1));
    await once(server, 'listening');
    const ca = at('early.pem');
    writeFileSync(ca, isTrusted ? cert : text('ca.pem'));
    const raised: string[] = [];
    const brokers = openBrokers(
      {
        ...{ urls: [`mqtts://127.0.0.1:${(server.address() as AddressInfo).port}`] as const, ca },
        ...{ version: 4 as const, bootSpreadSeconds: 0 },
      },
      {
        clock: new FakeClock(Date.now()),
        journal: { log: () => undefined },
        raiseClock: () => {
          raised.push('raise');
          return Promise.resolve(isRaised);
        },
      },
    );
    const options = { clientId: 'harbour_crane-7', keepaliveSeconds: 60, onMessage: () => undefined };
    await expect(brokers.connect(options)).rejects.toMatchObject({ reason: 'tls' });
    expect(raised).toEqual(calls);
    expect(connections).toBe(attempts);
    server.close();
  });
});
