import { execFile, execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openBrokers } from '../../../../src/device/agent/broker-addresses.ts';
import { certificateCapability } from '../../../../src/device/agent/broker-files.ts';
import { type Connection, ConnectionLost } from '../../../../src/wire/mqtt/index.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { hasMosquitto, mosquittoBroker, type RealBroker } from '../../../support/real-brokers.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';
import { until } from '../../../support/system-clock.ts';

/** The client certificate of one device, from its enrolment to the next one. */

let directory: string;
const at = (...names: string[]): string => join(directory, ...names);
const openssl = (...args: string[]): unknown =>
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const authority = (): string[] => ['--ca-cert', at('ca.pem'), '--ca-key', at('ca.key')];
const certificate = async (...names: string[]) => new X509Certificate(await readFile(at(...names)));
const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-renew-'));
  for (const name of ['ca', 'other'])
    openssl(
      ...['req', '-x509', ...ec, '-keyout', `${name}.key`, '-out', `${name}.pem`],
      ...['-subj', `/CN=${name}`, '-days', '900'],
    );
  await run('fleet', 'init', 'harbour', '--broker', 'mqtts://localhost:8883');
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const renew = (...args: string[]) => run('fleet', 'renew', 'crane-7', '-o', at('next.pem'), ...args);
const install = (file = 'next.pem') => run('enrol', at(file), '--renew', '--root', at('tree'));

/** The same in a process that can write no byte to a file. */
const installUnwritable = () =>
  new Promise<{ status: unknown; err: string }>((resolve) => {
    const program = [process.execPath, '--import', 'tsx', 'src/cli/wherry.ts'];
    const args = ['enrol', at('next.pem'), '--renew', '--root', at('tree')];
    const limited = ['-c', 'trap "" XFSZ; ulimit -f 0; exec "$@"', 'sh', ...program, ...args];
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
    execFile('sh', limited, { env }, (error, _out, err) => resolve({ status: error?.code ?? 0, err }));
  });

/** Enrols crane-7 in a tree, with a certificate for `days`. */
async function enrolled(days: number): Promise<void> {
  await rm(at('tree'), { recursive: true, force: true });
  await mkdir(at('tree'));
  const args = [...authority(), '--days', String(days), '--root', at('tree')];
  const made = await run('fleet', 'enrol', 'crane-7', ...args);
  expect(made).toMatchObject({ status: 0, err: '' });
}

/** Gives the device an expired certificate for its key. */
async function expire(): Promise<void> {
  openssl('pkey', '-in', 'tree/etc/wherry/device.key', '-pubout', '-out', 'device.pub');
  openssl('req', '-new', ...ec, '-subj', '/CN=crane-7', '-keyout', 'spare.key', '-out', 'spare.csr');
  const forKey = ['-in', 'spare.csr', '-force_pubkey', 'device.pub'];
  openssl(
    'x509',
    '-req',
    ...forKey,
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-days',
    '-1',
    '-out',
    'expired.pem',
  );
  await writeFile(at('tree/etc/wherry/device.pem'), await readFile(at('expired.pem')));
}

describe('the renewal of a client certificate', () => {
  const parts = ['tree', 'fleet/certificates'];
  beforeAll(async () => {
    await enrolled(30);
    for (const part of parts) await cp(at(part), at('first', part), { recursive: true });
  });
  beforeEach(async () => {
    for (const part of parts) {
      await rm(at(part), { recursive: true, force: true });
      await cp(at('first', part), at(part), { recursive: true });
    }
  });

  it('[C223] is for the same key and name, and is valid longer', async () => {
    const [before, key] = [
      await certificate('tree/etc/wherry/device.pem'),
      await readFile(at('tree/etc/wherry/device.key')),
    ];
    const made = await renew(...authority(), '--days', '90');
    expect(made).toMatchObject({ status: 0, err: '' });
    expect(made.out).toContain('is for the key that crane-7 has');
    const placed = await install();
    expect(placed).toMatchObject({ status: 0, err: '' });
    expect(placed.out).toContain('needs no restart');
    const after = await certificate('tree/etc/wherry/device.pem');
    expect(after.subject).toBe('CN=crane-7');
    expect(after.raw.equals((await certificate('next.pem')).raw)).toBe(true);
    expect(after.publicKey.equals(before.publicKey)).toBe(true);
    expect(Date.parse(after.validTo)).toBeGreaterThan(Date.parse(before.validTo));
    expect(after.verify((await certificate('ca.pem')).publicKey)).toBe(true);
    expect(await readFile(at('tree/etc/wherry/device.key'))).toEqual(key);
    expect((await stat(at('tree/etc/wherry/device.pem'))).mode & 0o777).toBe(0o644);
    expect(await readdir(at('tree/etc/wherry'))).not.toContain('device.pem.new');
  });

  it('[C223] continues from the last one, and a second run changes nothing', async () => {
    await renew(...authority(), '--days', '90');
    await install();
    expect(await install()).toMatchObject({ status: 0, out: expect.stringContaining('already') as string });
    await renew(...authority(), '--days', '120');
    expect(await install()).toMatchObject({ status: 0 });
  });

  it('[C223] reads the present certificate from a file if the fleet directory has none', async () => {
    await rm(at('fleet/certificates'), { recursive: true });
    const without = await renew(...authority());
    expect(without.status).not.toBe(0);
    expect(without.err).toContain('give --cert FILE');
    const given = await renew(...authority(), '--cert', at('tree/etc/wherry/device.pem'));
    expect(given).toMatchObject({ status: 0, err: '' });
    expect(await install()).toMatchObject({ status: 0 });
  });

  it('[C223] certifies only keys that the authority has certified before', async () => {
    openssl('req', '-x509', ...ec, '-keyout', 'mallory.key', '-out', 'mallory.pem', '-subj', '/CN=crane-7');
    const forged = await renew(...authority(), '--cert', at('mallory.pem'));
    expect(forged).toMatchObject({ status: 64 });
    expect(forged.err).toContain('is not signed by');
    const ofCa = await renew(...authority(), '--cert', at('ca.pem'));
    expect(ofCa).toMatchObject({ status: 64 });
    expect(ofCa.err).toContain('not for CN=crane-7');
  });

  it.each([
    ['of another device', '/CN=crane-8', 'device.pub', 'this device is crane-7'],
    ['of another key', '/CN=crane-7', undefined, 'is of another key'],
  ])('[C223] is refused on the device with a certificate %s', async (_, subject, key, words) => {
    openssl('pkey', '-in', 'tree/etc/wherry/device.key', '-pubout', '-out', 'device.pub');
    openssl('req', '-new', ...ec, '-subj', subject, '-keyout', 'spare.key', '-out', 'spare.csr');
    const forKey = key === undefined ? [] : ['-force_pubkey', key];
    openssl(
      ...['x509', '-req', '-in', 'spare.csr', ...forKey, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-days', '90', '-out', 'wrong.pem'],
    );
    const before = await readFile(at('tree/etc/wherry/device.pem'));
    const placed = await install('wrong.pem');
    expect(placed).toMatchObject({ status: 64 });
    expect(placed.err).toContain(words);
    expect(await readFile(at('tree/etc/wherry/device.pem'))).toEqual(before);
  });

  it('[C223] is refused with an older certificate, and with an invalid one', async () => {
    await writeFile(at('first.pem'), await readFile(at('tree/etc/wherry/device.pem')));
    await renew(...authority(), '--days', '90');
    await install();
    const older = await install('first.pem');
    expect(older).toMatchObject({ status: 64 });
    expect(older.err).toContain('the certificate that is in place');
    const none = await install('ca.key');
    expect(none).toMatchObject({ status: 64 });
    expect(none.err).toContain('is not a certificate in PEM');
  });

  it('[C223] never writes through a link, which leads out of the tree', async () => {
    await renew(...authority(), '--days', '90');
    await mkdir(at('linked'), { recursive: true });
    await symlink(at('tree/etc'), at('linked/etc'));
    const placed = await run('enrol', at('next.pem'), '--renew', '--root', at('linked'));
    expect(placed).toMatchObject({ status: 64 });
    expect(placed.err).toContain('is not a directory');
    await rm(at('linked'), { recursive: true });
  });

  it('[C223] is refused if the configuration names other files', async () => {
    await renew(...authority(), '--days', '90');
    const toml = at('tree/etc/wherry/wherry.toml');
    const text = await readFile(toml, 'utf8');
    await writeFile(toml, text.replace('/etc/wherry/device.pem', '/etc/tls/crane.pem'));
    expect((await install()).err).toContain('names other files');
    await writeFile(toml, text.replace(/^(cert|key) = .*$/gm, ''));
    expect((await install()).err).toContain('names no certificate');
  });

  it('[C223] keeps the old certificate if the new one cannot be written', async () => {
    await renew(...authority(), '--days', '90');
    const before = await readFile(at('tree/etc/wherry/device.pem'));
    const placed = await installUnwritable();
    expect(placed.status).not.toBe(0);
    expect(placed.err).toContain('was not replaced');
    expect(await readFile(at('tree/etc/wherry/device.pem'))).toEqual(before);
  });

  it('[C224] is requested in the report when less than 30 days are left', async () => {
    const files = { cert: at('tree/etc/wherry/device.pem'), key: at('tree/etc/wherry/device.key') };
    const expires = Date.parse((await certificate('tree/etc/wherry/device.pem')).validTo);
    const day = 24 * 3_600_000;
    const [early] = certificateCapability(files, expires - 31 * day);
    expect(early).toMatchObject({ name: 'lasting-certificate', available: true });
    const [late] = certificateCapability(files, expires - 29 * day);
    expect(late).toMatchObject({ name: 'lasting-certificate', available: false });
    expect(late?.detail).toContain(new Date(expires).toISOString());
    const [gone] = certificateCapability({ ...files, cert: at('nowhere.pem') }, expires);
    expect(gone).toMatchObject({ available: false });
    expect(certificateCapability({}, expires)).toEqual([]);
  });
});

describe.runIf(hasMosquitto)('a renewed certificate at a Mosquitto that requires one', () => {
  let broker: RealBroker;

  beforeAll(async () => {
    openssl(
      'req',
      '-new',
      ...ec,
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
    );
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-copy_extensions', 'copy'];
    openssl('x509', '-req', '-in', 'server.csr', ...signing, '-days', '90', '-out', 'server.pem');
    await chmod(at('server.key'), 0o600);
    broker = await mosquittoBroker(
      `cafile ${at('ca.pem')}\ncertfile ${at('server.pem')}\nkeyfile ${at('server.key')}\nrequire_certificate true\nuse_identity_as_username true`,
    );
    await broker.start();
  });
  afterAll(async () => {
    await broker.kill();
  });

  /** Connects as wherryd does, with the files of the tree. */
  function device() {
    const clock = new FakeClock(Date.now());
    const ports = {
      clock,
      journal: { log: () => undefined },
    };
    const config = {
      ...{ urls: [`mqtts://localhost:${broker.port}`] as const, version: 4 as const, bootSpreadSeconds: 0 },
      ...{ ca: at('ca.pem'), cert: at('tree/etc/wherry/device.pem'), key: at('tree/etc/wherry/device.key') },
    };
    const brokers = openBrokers(config, ports);
    const options = { clientId: 'harbour_crane-7', keepaliveSeconds: 60, onMessage: () => undefined };
    return { clock, connect: (): Promise<Connection> => brokers.connect(options) };
  }

  it('[C223] lets a running device with an expired certificate connect', async () => {
    await enrolled(30);
    await expire();
    const { connect } = device();
    await expect(connect()).rejects.toThrow(ConnectionLost);
    await renew(...authority(), '--cert', at('expired.pem'));
    expect(await install()).toMatchObject({ status: 0 });
    const connection = await connect();
    await connection.publish(
      { topic: 'v1/harbour/d/crane-7/live', payload: Buffer.from('a') },
      { retain: false },
    );
    await connection.close();
  });

  it('[C223] replaces one that expires during a connection', async () => {
    await enrolled(2);
    const { connect, clock } = device();
    let ended = false;
    const first = await connect();
    void first.ended.then(() => (ended = true));
    await renew(...authority(), '--days', '90');
    expect(await install()).toMatchObject({ status: 0 });
    const hour = 3_600_000;
    await clock.pass(23 * hour);
    expect(ended).toBe(false);
    await clock.pass(2 * hour);
    await until(() => ended);
    const second = await connect();
    await second.publish(
      { topic: 'v1/harbour/d/crane-7/live', payload: Buffer.from('b') },
      { retain: false },
    );
    // The next certificate is valid for long, so this connection stays.
    let isSecondOver = false;
    void second.ended.then(() => (isSecondOver = true));
    await clock.pass(48 * hour);
    expect(isSecondOver).toBe(false);
    await second.close();
  });
});
