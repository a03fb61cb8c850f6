import { execFileSync } from 'node:child_process';
import { copyFile, link, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { wherry, type Run } from '../support/recording-terminal.ts';

let directory: string;
const at = (path: string): string => join(directory, path);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const build = (...args: string[]): Promise<Run> =>
  run('image', 'build', directory, '--name', 'example.com/a', '-o', at('web.aci'), ...args);
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const filesOf = (image: string): readonly string[] =>
  execFileSync('tar', ['tf', image], { encoding: 'utf8' }).trim().split('\n');

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-keys-'));
  await mkdir(at('bin'));
  await copyFile('/bin/true', at('bin/true'));
  expect(await run('fleet', 'init', 'harbour')).toMatchObject({ status: 0 });
});
afterEach(() => rm(directory, { recursive: true }));

describe('an image of a directory with a fleet in it', () => {
  it('contains neither the fleet nor earlier builds, which are reported', async () => {
    expect(await build('--sign')).toMatchObject({ status: 0 });
    await rename(at('web.aci'), at('web-1.aci'));
    await rename(at('web.aci.asc'), at('web-1.aci.asc'));
    expect(await build('--sign')).toMatchObject({ status: 0 });
    const again = await build();
    expect(again.status).toBe(0);
    expect(again.err.split('\n').toSorted().join('\n')).toBe(
      [
        '',
        'left out /fleet: it is a fleet directory',
        'left out /web-1.aci.asc: it is an image beside the one that is being built',
        'left out /web-1.aci: it is an image beside the one that is being built',
        'left out /web.aci.asc: it is the image that is being built',
        'left out /web.aci: it is the image that is being built',
      ]
        .toSorted()
        .join('\n'),
    );
    expect(filesOf(at('web.aci'))).toEqual(['manifest', 'rootfs/', 'rootfs/bin/', 'rootfs/bin/true']);
  });

  it('contains no temporary files of a killed build', async () => {
    await mkdir(at('bin/.wherry-0123456789abcdef'));
    await writeFile(at('bin/.wherry-0123456789abcdef/files'), '');
    await writeFile(at('.wherry-fedcba9876543210'), '');
    const { status, err } = await build();
    expect(status).toBe(0);
    expect(err).toContain('left out /bin/.wherry-0123456789abcdef: it is a temporary file of a build\n');
    expect(filesOf(at('web.aci'))).toEqual(['manifest', 'rootfs/', 'rootfs/bin/', 'rootfs/bin/true']);
  });

  it('contains no key that was copied, linked or moved elsewhere', async () => {
    await copyFile(at('fleet/keys/deploy.key.asc'), at('bin/copy'));
    await link(at('fleet/keys/images.key.asc'), at('bin/linked'));
    await rename(at('fleet/keys'), at('secrets'));
    await symlink('../secrets', at('fleet/keys'));
    await copyFile(at('secrets/images.pub.asc'), at('bin/public.asc'));
    const built = await build('--json');
    expect(filesOf(at('web.aci'))).toEqual([
      'manifest',
      'rootfs/',
      'rootfs/bin/',
      'rootfs/bin/public.asc',
      'rootfs/bin/true',
      'rootfs/secrets/',
      'rootfs/secrets/deploy.pub.asc',
      'rootfs/secrets/images.pub.asc',
    ]);
    const { leftOut } = JSON.parse(built.out) as { leftOut: { path: string }[] };
    expect(leftOut.map(({ path }) => path).toSorted()).toEqual([
      '/bin/copy',
      '/bin/linked',
      '/fleet',
      '/secrets/deploy.key.asc',
      '/secrets/images.key.asc',
    ]);
  });

  it.each<[form: string, change: (key: string) => string | Buffer]>([
    ['with other line ends', (key) => key.replaceAll('\n', '\r\n')],
    ['behind other text', (key) => `the key of our images:\n${key}`],
    ['indented, as in YAML', (key) => `key: |\n${key.replace(/^/gm, '    ')}`],
    ['as a string of JSON', (key) => JSON.stringify({ key })],
    ['without its armor', (key) => Buffer.from(/\n\n([^=]*)/.exec(key)?.[1] ?? '', 'base64')],
    ['in Base64, as in a Secret of Kubernetes', (key) => `data:\n  key: ${base64(key)}\n`],
    ['in Base64, in lines behind a word', (key) => `words\n${base64(`x${key}`).replace(/.{76}/g, '$&\n')}`],
  ])('has no copy of a key in another form: %s', async (_, change) => {
    const key = await readFile(at('fleet/keys/images.key.asc'), 'utf8');
    await writeFile(at('bin/other'), change(key));
    await copyFile(at('fleet/keys/images.pub.asc'), at('bin/public.asc'));
    expect((await build()).err).toMatch(/^left out \/bin\/other: it is a copy of .*images\.key\.asc/m);
    expect(filesOf(at('web.aci')).filter((name) => name.startsWith('rootfs/bin/'))).toEqual([
      'rootfs/bin/',
      'rootfs/bin/public.asc',
      'rootfs/bin/true',
    ]);
  });

  it('contains no other fleet, and no secrets that fleet.toml names', async () => {
    await wherry(['--fleet', at('other'), 'fleet', 'init', 'canal']);
    await writeFile(at('password'), 'secret');
    await writeFile(at('bin/ca.pem'), 'public');
    await rename(at('fleet'), `${directory}-fleet`);
    try {
      const fleet = `${directory}-fleet`;
      const toml = [
        'fleet = "harbour"',
        '[broker]',
        'url = "mqtt://localhost:1883"',
        `password_file = ${JSON.stringify(at('password'))}`,
        `ca = ${JSON.stringify(at('bin/ca.pem'))}`,
        '[images]',
        'base_url = "http://localhost"',
      ];
      await writeFile(join(fleet, 'fleet.toml'), toml.join('\n'));
      const args = ['image', 'build', directory, '--name', 'example.com/a', '-o', at('web.aci')];
      const built = await wherry(['--fleet', fleet, ...args]);
      expect(built.err).toMatch(/\/other: it is a fleet directory/);
      expect(built.err).toMatch(/\/password: it is a secret of the fleet \(password\)/);
      expect(filesOf(at('web.aci'))).toEqual([
        'manifest',
        'rootfs/',
        'rootfs/bin/',
        'rootfs/bin/ca.pem',
        'rootfs/bin/true',
      ]);
    } finally {
      await rm(`${directory}-fleet`, { recursive: true });
    }
  });

  it('has no part of the fleet when it is built from the fleet directory itself', async () => {
    await writeFile(at('fleet/readme'), 'x');
    const args = ['--name', 'example.com/a', '-o', at('web.aci')];
    expect(await run('image', 'build', at('fleet'), ...args)).toMatchObject({ status: 0 });
    expect(filesOf(at('web.aci'))).toEqual(['manifest', 'rootfs/', 'rootfs/readme']);
  });

  it('contains a file that only shares its name or size with one of these', async () => {
    await writeFile(at('bin/images.key.asc'), 'x');
    await mkdir(at('keys'));
    await writeFile(at('bin/sample.aci'), 'x');
    await build();
    expect(filesOf(at('web.aci'))).toContain('rootfs/bin/images.key.asc');
    expect(filesOf(at('web.aci'))).toContain('rootfs/bin/sample.aci');
    expect(filesOf(at('web.aci'))).toContain('rootfs/keys/');
  });

  it('from a build file leaves out the same, and refuses a key that the file names', async () => {
    const file = (from: string): string =>
      `[manifest]\nname = "example.com/a"\n[[put]]\nfrom = ${JSON.stringify(from)}\nto = "/app"\n`;
    await writeFile(at('build.toml'), file('.'));
    const built = await run('image', 'build', at('build.toml'), '-o', at('web.aci'));
    expect(built).toMatchObject({
      status: 0,
      err: expect.stringContaining('left out /app/fleet: it is a fleet directory') as string,
    });
    expect(filesOf(at('web.aci')).filter((path) => path.includes('key'))).toEqual([]);
    for (const from of ['fleet/keys/deploy.key.asc', 'fleet']) {
      await writeFile(at('build.toml'), file(from));
      expect(await run('image', 'build', at('build.toml'), '-o', at('other.aci'))).toMatchObject({
        status: 64,
        err: expect.stringMatching(/put \/app: .* does not belong in an image/) as string,
      });
    }
  });
});

describe('private keys of others in an image [C266]', () => {
  const pem = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n';

  it.each([
    ['of TLS', 'tls.key', 0o644, pem],
    ['of TLS behind its certificate', 'both.pem', 0o644, `-----BEGIN CERTIFICATE-----\nMII\n${pem}`],
    ['of OpenSSH', 'id_ed25519', 0o600, '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n'],
    ['of any name, for its owner alone', 'secret', 0o600, pem],
    ['of the agent of GnuPG 2.2', 'ab12.key', 0o600, '(11:private-key(3:ecc(5:curve7:Ed25519)))'],
    ['of the agent of GnuPG 2.4', 'ab12.key', 0o600, 'Created: 20260101T000000\nKey: (private-key (ecc\n'],
  ])('are noted and stay: %s', async (_what, name, mode, content) => {
    await mkdir(at('etc'));
    await writeFile(at(`etc/${name}`), content, { mode });
    const { status, err } = await build();
    expect(status).toBe(0);
    expect(err).toContain(`note: the image has a private key, ${at(`etc/${name}`)}; everybody who gets the`);
    expect(filesOf(at('web.aci'))).toContain(`rootfs/etc/${name}`);
  });

  it('are counted, without public keys and texts about keys', async () => {
    await writeFile(at('a.key'), pem);
    await writeFile(at('b.pem'), pem, { mode: 0o600 });
    await writeFile(at('c.pem'), '-----BEGIN PUBLIC KEY-----\nMCow\n');
    await writeFile(at('d.key'), 'private-key: none', { mode: 0o600 });
    expect((await build()).err).toContain(`note: the image has 2 private keys, such as ${at('a.key')};`);
    await rm(at('a.key'));
    await rm(at('b.pem'));
    expect((await build()).err).not.toContain('private key');
  });
});
