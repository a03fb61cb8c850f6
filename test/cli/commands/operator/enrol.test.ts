import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../../src/device/agent/config.ts';
import { decodeBundle } from '../../../../src/wire/enrolment/index.ts';
import { loopbackCertificate } from '../../../support/loopback-certificate.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
const at = (...names: string[]): string => join(directory, ...names);
const filesIn = async (tree: string): Promise<string[]> =>
  (await readdir(tree, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(tree.length))
    .sort();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-enrol-'));
  await run('fleet', 'init', 'harbour', '--broker', 'mqtts://broker.example:8883');
  const { key, cert } = loopbackCertificate();
  await writeFile(at('ca.key'), key);
  await writeFile(at('ca.pem'), cert);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

describe('the enrolment of a device', () => {
  const signed = () => ['--ca-cert', at('ca.pem'), '--ca-key', at('ca.key'), '--days', '20'];

  it('[C179] writes a whole device into the tree of an image, once', async () => {
    await mkdir(at('tree'));
    const args = [
      'fleet',
      'enrol',
      'crane-7',
      '--group',
      'kitchen',
      '--label',
      'site=pier 4',
      '--root',
      at('tree'),
    ];
    const made = await run(...args, ...signed());
    expect(made).toMatchObject({ status: 0, err: '' });
    expect(made.out).toMatch(/tree is crane-7 of fleet harbour; it trusts commands of [0-9A-F ]+/);
    expect(await filesIn(at('tree'))).toEqual([
      '/etc/systemd/system/wherry-key.service',
      '/etc/systemd/system/wherryd.service.d/wherry-key.conf',
      '/etc/wherry/device.key',
      '/etc/wherry/device.pem',
      '/etc/wherry/trust/deploy/fleet.asc',
      '/etc/wherry/trust/images/root.d/fleet.asc',
      '/etc/wherry/wherry.toml',
    ]);
    expect(parseConfig(await readFile(at('tree/etc/wherry/wherry.toml'), 'utf8'))).toMatchObject({
      device: 'crane-7',
      groups: ['kitchen'],
      labels: { site: 'pier 4' },
      broker: { cert: '/etc/wherry/device.pem', key: '/etc/wherry/device.key' },
    });
    expect((await stat(at('tree/etc/wherry/device.key'))).mode & 0o777).toBe(0o600);
    const cert = new X509Certificate(await readFile(at('tree/etc/wherry/device.pem')));
    expect(cert.subject).toBe('CN=crane-7');
    expect(cert.verify(new X509Certificate(await readFile(at('ca.pem'))).publicKey)).toBe(true);
    const other = await run('fleet', 'enrol', 'crane-8', '--root', at('tree'));
    expect(other).toMatchObject({ status: 64 });
    expect(other.err).toContain('this device is enrolled already');
  });

  it('[C179] is transferred as a bundle, and a second run changes nothing', async () => {
    const made = await run('fleet', 'enrol', 'crane-9', '-o', at('crane-9.enrol'));
    expect(made).toMatchObject({ status: 0, err: '' });
    expect((await stat(at('crane-9.enrol'))).mode & 0o777).toBe(0o600);
    await mkdir(at('other'));
    const enrol = () => run('--json', 'enrol', at('crane-9.enrol'), '--root', at('other'), '--no-key');
    expect(JSON.parse((await enrol()).out)).toMatchObject({ device: 'crane-9', outcome: 'enrolled' });
    expect(JSON.parse((await enrol()).out)).toMatchObject({ device: 'crane-9', outcome: 'unchanged' });
    expect(await filesIn(at('other'))).not.toContain('/etc/systemd/system/wherry-key.service');
  });

  it.each([
    [['--root', 'x', '-o', 'y'], 'give -o FILE for a bundle, or --root DIR'],
    [[], 'give -o FILE for a bundle, or --root DIR'],
    [['-o', 'x', '--cert', 'a.pem'], '--cert and --key-file go together'],
    [['-o', 'x', '--group', 'Kitchen'], 'groups takes a list'],
    [['-o', 'x', '--label', 'site'], '--label takes NAME=VALUE'],
    [['-o', 'x', '--password', 'missing'], 'the password missing'],
  ])('is refused with %j', async (args, message) => {
    const made = await run('fleet', 'enrol', 'crane-7', ...args);
    expect(made.status).not.toBe(0);
    expect(made.err).toContain(message);
  });

  it('is refused with a certificate of another key', async () => {
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', at('other.key')]);
    const pair = ['--cert', at('ca.pem'), '--key-file', at('other.key')];
    const made = await run('fleet', 'enrol', 'crane-7', '-o', at('x.enrol'), ...pair);
    expect(made).toMatchObject({ status: 64 });
    expect(made.err).toContain('is of another key');
  });

  it('is refused with a bundle of another kind', async () => {
    const made = await run('enrol', at('ca.pem'), '--root', at('tree'));
    expect(made).toMatchObject({ status: 64 });
    expect(made.err).toContain('this is not an enrolment bundle');
  });

  describe('[C346] with certificates of a public key infrastructure', () => {
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
    const certified = (name: string, subject: string, by: string, usage: string, days = '400'): void => {
      writeFileSync(at('usage'), usage);
      openssl(
        ...[
          'req',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-subj',
          `/CN=${subject}`,
        ],
        ...['-keyout', `${name}.key`, '-out', 'csr'],
      );
      openssl(
        ...['x509', '-req', '-in', 'csr', '-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-days', days],
        ...['-extfile', 'usage', '-out', `${name}.pem`],
      );
    };
    const enrol = (...args: string[]) => run('fleet', 'enrol', 'crane-5', '-o', at('pki.enrol'), ...args);
    const given = (cert: string, key: string) => enrol('--cert', at(cert), '--key-file', at(key));
    const by = (name: string) => ['--ca-cert', at(`${name}.pem`), '--ca-key', at(`${name}.key`)];
    const enrolled = async (name: 'broker-password' | 'device.key' | 'device.pem') =>
      Buffer.from(
        decodeBundle(await readFile(at('pki.enrol'))).files.get(`/etc/wherry/${name}`) ?? [],
      ).toString();

    beforeAll(async () => {
      certified('between', 'between', 'ca', 'basicConstraints=critical,CA:TRUE\n');
      certified('own', 'crane-5', 'between', 'extendedKeyUsage=clientAuth\n');
      certified('server', 'broker', 'between', 'extendedKeyUsage=serverAuth\n');
      openssl('pkcs8', '-topk8', '-in', 'own.key', '-passout', 'pass:secret', '-out', 'locked.key');
      openssl('pkcs8', '-topk8', '-in', 'between.key', '-passout', 'pass:secret', '-out', 'locked-ca.key');
      openssl('x509', '-in', 'own.pem', '-outform', 'der', '-out', 'own.der');
      const [own, between, key] = await Promise.all(
        ['own.pem', 'between.pem', 'own.key'].map((file) => readFile(at(file), 'utf8')),
      );
      await writeFile(at('chain.pem'), `subject=crane-5\r\n${own}${between}`.replaceAll('\n', '\r\n'));
      await writeFile(at('wrong-order.pem'), `${between}${own}`);
      await writeFile(at('both.pem'), `${key}${own}`);
    });

    afterEach(async () => {
      await rm(at('pki.enrol'), { force: true });
      await rm(at('fleet/certificates'), { recursive: true, force: true });
    });

    it('a device presents the authorities between its own and the one that its broker knows', async () => {
      const made = await enrol(...by('between'), '--days', '30');
      expect(made).toMatchObject({ status: 0, err: '' });
      await writeFile(at('device.pem'), await enrolled('device.pem'));
      openssl(
        'verify',
        '-purpose',
        'sslclient',
        '-CAfile',
        'ca.pem',
        '-untrusted',
        'device.pem',
        'device.pem',
      );
      const next = await run('fleet', 'renew', 'crane-5', '-o', at('device.pem'), ...by('between'));
      expect(next).toMatchObject({ status: 0, err: '' });
      openssl(
        'verify',
        '-purpose',
        'sslclient',
        '-CAfile',
        'ca.pem',
        '-untrusted',
        'device.pem',
        'device.pem',
      );
    });

    it('CRLF and text around a certificate are left out', async () => {
      expect(await given('chain.pem', 'own.key')).toMatchObject({ status: 0, err: '' });
      const parts = await Promise.all(['own.pem', 'between.pem'].map((file) => readFile(at(file), 'utf8')));
      expect(await enrolled('device.pem')).toBe(parts.join(''));
    });

    it('a private key beside a certificate is not stored with it', async () => {
      expect(await given('both.pem', 'both.pem')).toMatchObject({ status: 0, err: '' });
      expect(await readFile(at('fleet/certificates/crane-5.pem'), 'utf8')).not.toContain('PRIVATE');
      expect(await enrolled('device.pem')).not.toContain('PRIVATE');
      expect(await enrolled('device.key')).toMatch(
        /^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n$/,
      );
    });

    it.each([
      ['wrong-order.pem', 'own.key', 'is not the first in .*wrong-order.pem'],
      ['own.pem', 'locked.key', 'locked.key is locked by a passphrase.*openssl pkey'],
      ['own.der', 'own.key', 'own.der holds no certificate in PEM'],
      ['own.key', 'own.pem', 'own.pem is not a private key in PEM'],
    ])('%s with %s is refused with the name of the file and the reason', async (cert, key, message) => {
      const made = await given(cert, key);
      expect(made.err).toMatch(new RegExp(message));
      expect(made.status).toBe(64);
    });

    it('what brokers may refuse in a certificate is noted', async () => {
      const made = await given('server.pem', 'server.key');
      expect(made.status).toBe(0);
      expect(made.err).toContain('note: the certificate is for CN=broker, not for CN=crane-5');
      expect(made.err).toContain('note: the certificate may not be used by clients');
    });

    it('a certificate ends with that of its authority, and this is noted', async () => {
      const made = await enrol(...by('between'), '--days', '500');
      expect(made.status).toBe(0);
      const { validTo } = new X509Certificate(await readFile(at('between.pem')));
      const own = new X509Certificate(await enrolled('device.pem'));
      expect(Date.parse(own.validTo)).toBeLessThanOrEqual(Date.parse(validTo));
      expect(made.err).toMatch(/note: the certificate ends within a day of its authority's, at .* GMT/);
    });

    it('a certificate that is not one of an authority, or an expired one, signs none', async () => {
      const made = await enrol(...by('own'));
      expect(made).toMatchObject({ status: 64 });
      expect(made.err).toContain('own.pem is the certificate of CN=crane-5, which is not an authority');
      certified('brief', 'brief', 'ca', 'basicConstraints=critical,CA:TRUE\n', '0');
      expect((await enrol(...by('brief'))).err).toMatch(/the authority .*brief.pem expires at/);
    });

    it('a key of the authority with a passphrase is refused where there is no terminal', async () => {
      await copyFile(at('between.pem'), at('locked-ca.pem'));
      const program = ['--import', 'tsx', 'src/cli/wherry.ts', '--fleet', at('fleet')];
      const args = ['fleet', 'enrol', 'crane-5', '-o', at('pki.enrol'), ...by('locked-ca')];
      // A session of its own has no terminal.
      const made = spawnSync('setsid', ['--wait', process.execPath, ...program, ...args], {
        encoding: 'utf8',
      });
      expect(made.stderr).toMatch(/the key has a passphrase: run this at a terminal/);
      expect(made.status).toBe(64);
    });

    it.each([
      ['secret\r\n', undefined],
      ['', 'is empty'],
      ['\n', 'is empty'],
      ['one\ntwo\n', 'has several lines'],
    ])('a password of %j', async (content, message) => {
      await writeFile(at('password'), content);
      const made = await enrol('--password', at('password'));
      if (message === undefined) expect(await enrolled('broker-password')).toBe('secret');
      else expect(made.err).toContain(message);
    });
  });
});
