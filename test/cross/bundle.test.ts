import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { promisify } from 'node:util';

import { Aedes } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BuildFailure } from '../../cross/build-failure.ts';
import type { Bundle } from '../../cross/bundle.ts';
import { bundle, bundledPackages, entryPoints, staticClosure } from '../../cross/bundle.ts';
import { bundleUnits, unitBundle } from '../../cross/unit-bundle.ts';

const run = promisify(execFile);
const projectRoot = path.join(import.meta.dirname, '../..');
const nodeModules = path.join(projectRoot, 'node_modules');
const mosquitto = ['/usr/sbin/mosquitto', '/usr/bin/mosquitto'].find(existsSync);
const presharedKey = '00112233445566778899aabbccddeeff';

/** Small programs that use the dependencies as wherry's do. */
const sources = {
  // Connects with the given options, sends itself a message and prints it.
  'session.ts': `
    import mqtt from 'mqtt';
    const options = JSON.parse(process.argv[2] ?? '{}');
    if (options.psk) {
      const key = Buffer.from(options.psk, 'hex');
      Object.assign(options, { ciphers: 'PSK', maxVersion: 'TLSv1.2', checkServerIdentity: () => undefined,
        pskCallback: () => ({ psk: key, identity: 'device' }) });
    }
    const main = async () => {
      const client = await mqtt.connectAsync(options);
      client.on('message', (topic, payload) => { console.log(topic, payload.toString()); client.end(); });
      await client.subscribeAsync('a/b', { qos: 1 });
      await client.publishAsync('a/b', 'there and back', { qos: 1, retain: true });
    };
    void main();`,
  'websocket.ts': `
    import mqtt from 'mqtt';
    mqtt.connect({ protocol: 'ws', host: 'localhost', port: 9 });`,
  // Connects to a broker by WebSocket, like a device.
  'web-socket.ts': `
    import { MqttTransport } from '${path.join(import.meta.dirname, '../../src/wire/mqtt/index.ts')}';
    const main = async () => {
      const connection = await new MqttTransport({ url: process.argv[2] ?? '', version: 4 }).connect({
        clientId: 'x', keepaliveSeconds: 60,
        onMessage: ({ topic, payload }) => { console.log(topic, String(payload)); void connection.close(); },
      });
      await connection.subscribe(['a/b']);
      await connection.publish({ topic: 'a/b', payload: Buffer.from('there and back') }, { retain: true });
    };
    void main();`,
  'codec.ts': `
    import { Decoder, Encoder } from 'cbor-x/index-no-eval';
    console.log(new Decoder().decode(new Encoder().encode({ a: [1, 'x'] })), process.env.WHERRY_VERSION);`,
  'lazy.ts': `
    export const late = async () => (await import('tar-stream')).extract;`,
};

const entries = Object.fromEntries(
  Object.keys(sources).map((file) => [file.replace('.ts', ''), file] as const),
);

async function writeSources(directory: string): Promise<string> {
  for (const [name, text] of Object.entries(sources)) await writeFile(path.join(directory, name), text);
  return directory;
}

/** Starts a server on a free port of loopback, and returns the port. */
async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

describe('the bundle', () => {
  let directory: string;
  let programs: Bundle;

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'wherry-bundle-'));
    programs = await bundle({
      root: await writeSources(directory),
      nodeModules,
      entries,
      version: '1.2.3',
    });
    await mkdir(path.join(directory, 'out'));
    await writeFile(path.join(directory, 'out/package.json'), '{"type":"commonjs"}');
    for (const [name, bytes] of programs.files) await writeFile(path.join(directory, 'out', name), bytes);
  });

  afterAll(() => rm(directory, { recursive: true }));

  const runProgram = (name: string, ...args: string[]) =>
    run(process.execPath, [path.join(directory, 'out', `${name}.js`), ...args]);

  it('speaks MQTT 3.1.1 over TCP', async () => {
    const broker = await Aedes.createBroker();
    const server = createServer(broker.handle);
    try {
      const options = { protocol: 'mqtt', host: '127.0.0.1', port: await listening(server) };
      const { stdout } = await runProgram('session', JSON.stringify(options));
      expect(stdout).toBe('a/b there and back\n');
    } finally {
      server.close();
      broker.close();
    }
  });

  // aedes supports only MQTT 3.1.1.
  it.skipIf(mosquitto === undefined)('speaks MQTT 5 over a Unix socket', async () => {
    const socket = path.join(directory, 'broker.sock');
    const config = path.join(directory, 'mosquitto.conf');
    await writeFile(config, `listener 0 ${socket}\nallow_anonymous true\nuser ${userInfo().username}\n`);
    const broker = spawn(mosquitto ?? '', ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
    try {
      for await (const text of broker.stderr) if (String(text).includes(' running')) break;
      const options = { protocol: 'mqtt+unix', path: socket, protocolVersion: 5 };
      const { stdout } = await runProgram('session', JSON.stringify(options));
      expect(stdout).toBe('a/b there and back\n');
    } finally {
      broker.kill();
    }
  });

  it('speaks MQTT over TLS', async () => {
    const broker = await Aedes.createBroker();
    const server = createTlsServer(
      { ciphers: 'PSK', maxVersion: 'TLSv1.2', pskCallback: () => Buffer.from(presharedKey, 'hex') },
      broker.handle,
    );
    try {
      const port = await listening(server);
      const options = { protocol: 'mqtts', host: '127.0.0.1', port, psk: presharedKey };
      const { stdout } = await runProgram('session', JSON.stringify(options));
      expect(stdout).toBe('a/b there and back\n');
    } finally {
      server.close();
      broker.close();
    }
  });

  it('[C158] speaks MQTT over WebSocket with the client of the library ws', async () => {
    const broker = await Aedes.createBroker();
    const server = createHttpServer();
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket, request) => broker.handle(createWebSocketStream(socket), request));
    try {
      const { stdout } = await runProgram('web-socket', `ws://127.0.0.1:${await listening(server)}`);
      expect(stdout).toBe('a/b there and back\n');
    } finally {
      server.close();
      broker.close();
    }
  });

  it('reports a request for MQTT over WebSocket through mqtt.js', async () => {
    await expect(runProgram('websocket')).rejects.toThrow(
      'MQTT over WebSocket is not part of this build of wherry',
    );
  });

  it('has only lines below 4 KiB, which a crash writes to the journal', () => {
    const longest = Math.max(
      ...[...programs.files.values()].flatMap((bytes) =>
        Buffer.from(bytes)
          .toString()
          .split('\n')
          .map((line) => line.length),
      ),
    );
    expect(longest).toBeLessThan(4096);
  });

  it('encodes CBOR and contains the version of wherry', async () => {
    const { stdout } = await runProgram('codec');
    expect(stdout).toBe("{ a: [ 1, 'x' ] } 1.2.3\n");
  });

  it('omits the parts of its dependencies that wherry does not use', () => {
    const packages = bundledPackages(programs.metafile);
    expect(packages).toContain('mqtt');
    for (const unused of ['socks', 'readable-stream', 'debug', 'worker-timers', 'cbor-extract']) {
      expect(packages).not.toContain(unused);
    }
  });

  it('loads at the start only what is imported at the start', () => {
    const { packages, sizeBytes } = staticClosure(programs.metafile, 'lazy');
    expect(packages).toEqual([]);
    expect(sizeBytes).toBeLessThan(2000);
    expect(bundledPackages(programs.metafile)).toContain('tar-stream');
  });

  it('has the same bytes for a source in another directory', async () => {
    const elsewhere = await mkdtemp(path.join(tmpdir(), 'wherry-elsewhere-'));
    try {
      const again = await bundle({
        root: await writeSources(elsewhere),
        nodeModules,
        entries,
        version: '1.2.3',
      });
      expect([...again.files.keys()]).toEqual([...programs.files.keys()]);
      for (const [name, bytes] of again.files) {
        expect(Buffer.from(bytes).equals(programs.files.get(name) ?? Buffer.of())).toBe(true);
      }
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  it('names a program whose source is missing', async () => {
    const missing = { root: directory, nodeModules, entries: { gone: 'src/gone.ts' }, version: '1' };
    await expect(bundle(missing)).rejects.toThrow(
      new BuildFailure('The program src/gone.ts does not exist.'),
    );
  });
});

describe('the programs of the package', () => {
  let programs: Bundle;
  let units: Awaited<ReturnType<typeof bundleUnits>>;
  beforeAll(async () => {
    programs = await bundle({ root: projectRoot, nodeModules, entries: entryPoints, version: '1.2.3' });
    units = await bundleUnits({ root: projectRoot, nodeModules, version: '1.2.3' });
  });

  it('keep the resident one free of OpenPGP, archives and the embedded broker', () => {
    const { packages } = staticClosure(programs.metafile, 'wherryd');
    expect(packages).toContain('mqtt');
    for (const heavy of ['openpgp', 'tar-stream', 'aedes', 'commander', 'ws'])
      expect(packages).not.toContain(heavy);
  });

  it('start the local API without a library', () => {
    const { packages, sizeBytes } = staticClosure(programs.metafile, 'wherry-api');
    expect(sizeBytes).toBeGreaterThan(0);
    expect(packages).toEqual([]);
  });

  it('keep short-lived programs free of the session and of the operator', () => {
    const packages = bundledPackages(units.metafile);
    expect(packages).toEqual(
      expect.arrayContaining(['openpgp', 'tar-stream', 'https-proxy-agent', 'proxy-from-env']),
    );
    for (const heavy of ['mqtt', 'aedes', 'commander', 'node-cron', 'proxy-agent-negotiate'])
      expect(packages).not.toContain(heavy);
  });

  it('contain no code of the ciphers and compressions of OpenPGP that they refuse', () => {
    const text = Buffer.from(units.bytes).toString();
    expect(text).toContain('OpenPGP with ciphers before AES is not part of this build of wherry');
    // Tables of Blowfish, CAST5 and DES; a name in the reader of bzip2, a sentence in that of ZIP.
    for (const part of [/3509652390/, /821772500/, /16843776/, /Bzip2Error/, /invalid block type/])
      expect(text).not.toMatch(part);
  });

  it('generate keys with the OpenPGP of the units', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'wherry-programs-'));
    try {
      await writeFile(path.join(directory, 'package.json'), '{"type":"commonjs"}');
      await writeFile(path.join(directory, unitBundle), units.bytes);
      for (const [name, bytes] of programs.files) await writeFile(path.join(directory, name), bytes);
      const wherry = (...args: string[]) =>
        run(process.execPath, [path.join(directory, 'wherry.js'), '--fleet', `${directory}/fleet`, ...args]);
      await wherry('fleet', 'init', 'farm');
      const { stdout } = await wherry('keys', 'export', 'deploy');
      expect(stdout).toContain('BEGIN PGP PUBLIC KEY BLOCK');
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('contain OpenPGP once: the operator loads it from the bundle of the units', () => {
    expect(bundledPackages(programs.metafile)).not.toContain('openpgp');
    const text = [...programs.files.values()].map((bytes) => Buffer.from(bytes).toString()).join('');
    expect(text).toContain('unit-programs.cjs');
  });
});
