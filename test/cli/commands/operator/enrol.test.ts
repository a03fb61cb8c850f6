import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../../src/device/agent/config.ts';
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
  const signed = () => ['--ca-cert', at('ca.pem'), '--ca-key', at('ca.key'), '--days', '30'];

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
});
