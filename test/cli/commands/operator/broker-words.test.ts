import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { answeringServer } from '../../../support/answering-server.ts';
import { freePort } from '../../../../qemu/free-port.ts';
import { hasMosquitto, mosquittoBroker } from '../../../support/real-brokers.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

/**
 * The messages for a broker, or another server at its address, that does not do what a command
 * needs. They contain only observed facts, and what to do.
 */
let directory: string;
let config: string;
const at = (...names: string[]): string => join(directory, ...names);
const opened: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-words-'));
  execFileSync('chmod', ['755', directory]); // mosquitto reads it as its own user
  const made = await wherry(['--fleet', at('fleet'), 'fleet', 'init', 'harbour']);
  expect(made.status).toBe(0);
  config = readFileSync(at('fleet/fleet.toml'), 'utf8');
  certificates();
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs a command against the broker at `url`, with more keys of `[broker]`. */
function run(url: string, keys: readonly string[], ...args: readonly string[]): Promise<Run> {
  writeFileSync(
    at('fleet/fleet.toml'),
    config.replace(/^url = .*$/m, [`url = "${url}"`, ...keys].join('\n')),
  );
  return wherry(['--fleet', at('fleet'), ...args]);
}
const status = (url: string, ...keys: readonly string[]): Promise<Run> => run(url, keys, 'status', 'crane-7');
const deploy = (url: string, ...keys: readonly string[]): Promise<Run> =>
  run(url, keys, 'deploy', 'crane-7', '--stop-all', '--no-wait');

async function mosquitto(config = ''): Promise<number> {
  const broker = await mosquittoBroker(config);
  await broker.start();
  opened.push(() => broker.kill());
  return broker.port;
}

/** A server that answers the first bytes of each connection, and then ends it. */
async function answering(bytes: Uint8Array | string): Promise<string> {
  const server = await answeringServer(bytes, true);
  opened.push(() => server.close());
  return `mqtt://127.0.0.1:${server.port}`;
}

/** Certificates of one authority: for 127.0.0.1, for another name, and for another time. */
function certificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=ca');
  writeFileSync(at('index.txt'), '');
  const made = [
    ['good', 'IP:127.0.0.1', '20200101000000Z', '20900101000000Z'],
    ['other', 'DNS:other.example', '20200101000000Z', '20900101000000Z'],
    ['expired', 'IP:127.0.0.1', '20200101000000Z', '20200201000000Z'],
    ['early', 'IP:127.0.0.1', '20890101000000Z', '20900101000000Z'],
  ] as const;
  for (const [name, san, from, to] of made) {
    const config = [
      ...['[ca]', 'default_ca = d', '[d]', 'database = index.txt', 'new_certs_dir = .', 'rand_serial = yes'],
      ...['certificate = ca.pem', 'private_key = ca.key', 'default_md = sha256', 'policy = p'],
      ...['unique_subject = no', 'x509_extensions = e', '[p]', 'commonName = supplied'],
      ...['[e]', `subjectAltName = ${san}`],
    ];
    writeFileSync(at('ca.cnf'), config.join('\n'));
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const dates = ['-startdate', from, '-enddate', to];
    openssl(
      'ca',
      '-batch',
      '-config',
      'ca.cnf',
      '-notext',
      '-in',
      `${name}.csr`,
      '-out',
      `${name}.pem`,
      ...dates,
    );
  }
  execFileSync('sh', ['-c', 'chmod 644 *.key'], { cwd: directory });
}
const server = (name: string): string => `certfile ${at(`${name}.pem`)}\nkeyfile ${at(`${name}.key`)}\n`;
const ca = 'ca = "../ca.pem"';

describe.runIf(hasMosquitto)('a broker with TLS whose certificate', () => {
  it.each([
    ['has expired', 'expired', [ca], /^wherry: the broker's certificate has expired; renew it/],
    [
      'is not valid yet',
      'early',
      [ca],
      /^wherry: the broker's certificate is not valid yet; check the clock/,
    ],
    [
      'has another name',
      'other',
      [ca],
      /^wherry: the broker's certificate is for other names than that in url .*127\.0\.0\.1/,
    ],
    [
      'is of an authority that is not known',
      'good',
      [],
      /^wherry: no authority that is trusted here has signed .*name the authority's certificate as ca/,
    ],
  ])('%s is not said to have refused the connection', async (_what, name, keys, words) => {
    const { err, status: exit } = await status(`mqtts://127.0.0.1:${await mosquitto(server(name))}`, ...keys);
    expect(err).toMatch(words);
    expect(exit).toBe(69);
  });
});

describe.runIf(hasMosquitto)('a broker with TLS', () => {
  const mutual = () => `${server('good')}cafile ${at('ca.pem')}\nrequire_certificate true`;

  it('that requires a client certificate names the keys, or the missing answer', async () => {
    const { err } = await status(`mqtts://127.0.0.1:${await mosquitto(mutual())}`, ca);
    // In TLS 1.3 the client gets the alert after its handshake, and a reset may arrive first.
    expect(err).toMatch(/alert "certificate required"; check cert and key|requires a client certificate/);
  });

  it('is not blamed for a certificate and a key that do not match', async () => {
    const keys = [ca, 'cert = "../good.pem"', 'key = "../other.key"'];
    const { err, status: exit } = await status(`mqtts://127.0.0.1:${await mosquitto(mutual())}`, ...keys);
    expect(err).toMatch(/^wherry: cert and key in \[broker\] of fleet\.toml: .*mismatch.*\(config-invalid\)/);
    expect(exit).toBe(70);
  });

  it('that is addressed without TLS is not reached, and the scheme is named', async () => {
    const { err } = await status(`mqtt://127.0.0.1:${await mosquitto(server('good'))}`);
    expect(err).toMatch(/check whether that port takes MQTT over TLS|its answer begins with the byte 0x15/);
  });
});

describe('a server that is not a broker', () => {
  const http = 'HTTP/1.1 400 Bad Request\r\n\r\n';

  it.each([
    ['a web server', http, /does not speak MQTT: its answer begins with "HTTP\/1\.1 400 Bad Request"; check/],
    ['a server of SSH', 'SSH-2.0-OpenSSH_9.2\r\n', /its answer begins with "SSH-2\.0-OpenSSH_9\.2"/],
    ['a server of TLS', Buffer.from([0x15, 3, 1, 0, 2, 2, 10]), /its answer begins with the byte 0x15/],
  ])('is named by its answer: %s', async (_what, bytes, words) => {
    const { err } = await status(await answering(bytes));
    expect(err).toMatch(words);
    expect(err).toContain('(broker-unreachable)');
  });

  it('is named when TLS is tried', async () => {
    const { err } = await status((await answering(http)).replace('mqtt:', 'mqtts:'));
    expect(err).toMatch(/does not speak TLS; check the port of url in .*fleet\.toml, or use mqtt:/);
  });

  it('is a name without an address', async () => {
    const { err } = await status('mqtt://broker.invalid');
    expect(err).toMatch(/the name broker\.invalid has no address; check url|EAI_AGAIN/);
  });

  it('is a port where no program listens', async () => {
    const { err } = await status(`mqtt://127.0.0.1:${await freePort()}`);
    expect(err).toMatch(/no connection to the broker: connect ECONNREFUSED .*\(broker-unreachable\)/);
  });
});

/** A CONNACK of MQTT 5 with a code and properties. */
const connack = (code: number, ...properties: number[]): Buffer =>
  Buffer.from([0x20, 3 + properties.length, 0, code, properties.length, ...properties]);
const text = (property: number, value: string): number[] => [
  property,
  0,
  value.length,
  ...Buffer.from(value),
];

describe('a broker that refuses the connection', () => {
  it.each([
    [0x80, [], /^wherry: the broker refused the connection: Unspecified error \(reason 0x80\) \(/],
    [0x86, [], /Bad User Name or Password \(reason 0x86\); check username and password_file in \[broker\]/],
    [0x9a, [], /Retain not supported \(reason 0x9a\); commands are retained messages/],
    [0x9b, [], /QoS not supported \(reason 0x9b\); commands are sent with QoS 1/],
    [
      0x9d,
      [...text(0x1c, 'other.example:1883'), ...text(0x1f, 'moved\u0007')],
      /Server moved \(reason 0x9d\); it adds "moved\?"; it names the server "other\.example:1883"; set url/,
    ],
  ] as const)('is told by its code: %i', async (code, properties, words) => {
    const { err, status: exit } = await status(await answering(connack(code, ...properties)), 'version = 5');
    expect(err).toMatch(words);
    expect(err).toContain('(broker-refused)');
    expect(exit).toBe(69);
  });
});

describe.runIf(hasMosquitto)('a Mosquitto that does not accept a command', () => {
  it.each([
    [
      'retain_available false',
      5,
      /ended the session: Retain not supported \(reason 0x9a\); commands are ret/,
    ],
    ['max_qos 0', 4, /was sent: .*keeps retained messages and accepts QoS 1/],
  ] as const)('for %s over version %i names what is needed', async (config, version, words) => {
    const { err, status: exit } = await deploy(
      `mqtt://127.0.0.1:${await mosquitto(config)}`,
      `version = ${version}`,
    );
    expect(err).toMatch(words);
    expect(exit).toBe(69);
  });

  it('and lets this account read nothing is not reported as having no report', async () => {
    writeFileSync(at('acl'), 'topic read nothing\n');
    const url = `mqtt://127.0.0.1:${await mosquitto(`acl_file ${at('acl')}`)}`;
    const { out, err } = await status(url, 'version = 5');
    expect(out).toMatch(/crane-7 +unknown +- +no report/);
    expect(err).toMatch(
      /returned no report of crane-7: it has none, or this account may not read the topics/,
    );
  });
});
