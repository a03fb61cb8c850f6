import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { mkdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { main } from '../../../../src/cli/main.ts';
import { loopbackCertificate } from '../../../support/loopback-certificate.ts';
import { serve } from '../../../support/test-server.ts';
import { openGnuPg, type GnuPg } from '../../../support/gnupg.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';

let gnupg: GnuPg;
let directory: string;
let good: string;
const at = (name: string): string => join(directory, name);

beforeAll(async () => {
  gnupg = openGnuPg();
  directory = await mkdtemp(join(tmpdir(), 'wherry-trust-'));
  good = gnupg.newKey('Team \u001b[31m<team@example.com>', 'ed25519');
  await writeFile(at('team.asc'), gnupg.export(good));
  const expired = gnupg.newKey('Old <old@example.com>', 'ed25519', { expires: '1d', at: '20200101T000000' });
  await writeFile(at('expired.asc'), gnupg.export(expired));
  const revoked = gnupg.newKey('Gone <gone@example.com>', 'ed25519');
  gnupg.revoke(revoked);
  await writeFile(at('revoked.asc'), gnupg.export(revoked));
  await writeFile(at('weak.asc'), gnupg.export(gnupg.newKey('Weak <weak@example.com>', 'rsa2048')));
  await writeFile(at('both.asc'), gnupg.export(expired) + gnupg.export(good));
});
afterAll(async () => {
  gnupg.close();
  await rm(directory, { recursive: true });
});
beforeEach(async () => {
  await rm(at('store'), { recursive: true, force: true });
  await rm(at('system'), { recursive: true, force: true });
});

const stores = () => ['--directory', at('store'), '--system', at('system')];
const run = (...args: string[]): Promise<Run> => wherry(['trust', ...args, ...stores()]);

describe('[A9.17] wherry trust', () => {
  it('adds a key whose fingerprint was confirmed, and lists it', async () => {
    const added = await run('add', at('team.asc'), '--prefix', 'example.com/web', '--fingerprint', good);
    expect(added).toMatchObject({ status: 0, err: '' });
    expect(await readdir(at('store/images/prefix.d/example.com/web'))).toEqual([`${good.toLowerCase()}.asc`]);
    const listed = await run('list');
    expect(listed.out).toMatch(
      /images below example\.com\/web +local +.*trusted +Team \?\[31m<team@example\.com>/,
    );
    const [row] = JSON.parse((await run('list', '--json')).out) as object[];
    expect(row).toMatchObject({ fingerprint: good.toLowerCase(), state: 'trusted', store: 'local' });
  });

  it('prompts on a terminal and shows what to compare', async () => {
    for (const [answer, status] of [
      ['n', 64],
      ['y', 0],
    ] as const) {
      const asked: string[] = [];
      const { terminal, err } = recordingTerminal({
        ask: (question) => {
          asked.push(question);
          return Promise.resolve(answer);
        },
      });
      expect(await main(['trust', 'add', at('team.asc'), '--root', ...stores()], {}, terminal)).toBe(status);
      expect(asked).toEqual(['Trust it for any image? [y/N] ']);
      expect(err().replaceAll(' ', '')).toContain(good);
    }
    expect(await readdir(at('store/images/root.d'))).toHaveLength(1);
  });

  it.each<[string, () => string[], number, RegExp]>([
    ['nobody has looked at it', () => [at('team.asc'), '--root'], 64, /no terminal to confirm on/],
    [
      'it is another one than was meant',
      () => [at('team.asc'), '--root', '--fingerprint', '0'.repeat(40)],
      77,
      /no key that can be trusted has the fingerprint 0000/,
    ],
    [
      'it has expired',
      () => [at('expired.asc'), '--root', '--yes'],
      64,
      /expired[^]*no key that could be trusted/,
    ],
    [
      'it was revoked',
      () => [at('revoked.asc'), '--root', '--yes'],
      64,
      /revoked[^]*no key that could be trusted/,
    ],
    [
      'it is weak',
      () => [at('weak.asc'), '--root', '--yes'],
      64,
      /2048 bits is too weak[^]*no key that could be trusted/,
    ],
    [
      'it is no key',
      () => [join(import.meta.dirname, 'trust.test.ts'), '--root', '--yes'],
      64,
      /no key that could be trusted/,
    ],
    ['there is no such file', () => [at('none.asc'), '--root', '--yes'], 64, /cannot be read/],
    ['nobody said for what', () => [at('team.asc'), '--yes'], 64, /--prefix NAME/],
    [
      'the prefix is no name [A10.8]',
      () => [at('team.asc'), '--yes', '--prefix', '../../etc'],
      64,
      /--prefix takes a name/,
    ],
  ])('does not add a key when %s', async (_what, args, status, problem) => {
    expect(await run('add', ...args())).toMatchObject({
      status,
      err: expect.stringMatching(problem) as string,
    });
    await expect(readdir(at('store'))).rejects.toThrow('ENOENT');
  });

  it('of several keys adds those that --fingerprint names', async () => {
    const other = gnupg.newKey('Other <other@example.com>', 'ed25519');
    await writeFile(at('two.asc'), gnupg.export(other) + gnupg.export(good));
    const added = await run('add', at('two.asc'), '--root', '--fingerprint', `0x${good}`);
    expect(added).toMatchObject({
      status: 0,
      err: expect.stringMatching(/ is left out: --fingerprint/) as string,
    });
    expect(await readdir(at('store/images/root.d'))).toEqual([`${good.toLowerCase()}.asc`]);
    expect(await run('remove', `0x${good}`)).toMatchObject({ status: 0 });
  });

  it.each<[string, () => string[], number]>([
    ['a later file is not one of keys', () => [at('team.asc'), import.meta.filename, '--yes'], 64],
    [
      'one of the fingerprints is in no file',
      () => [at('team.asc'), '--fingerprint', good, '--fingerprint', '0'.repeat(40)],
      77,
    ],
  ])('adds nothing when %s', async (_what, args, status) => {
    expect(await run('add', ...args(), '--root')).toMatchObject({ status });
    await expect(readdir(at('store'))).rejects.toThrow('ENOENT');
  });

  it('[C249] adds nothing if one of several keys is declined, or the terminal closes', async () => {
    await writeFile(at('more.asc'), gnupg.export(gnupg.newKey('More <more@example.com>', 'ed25519')));
    const add = async (second: () => Promise<string>) => {
      const answers = [() => Promise.resolve('y'), second];
      const { terminal, out } = recordingTerminal({ ask: () => answers.shift()?.() ?? Promise.resolve('') });
      const args = ['trust', 'add', at('team.asc'), at('more.asc'), '--root', ...stores()];
      return { status: await main(args, {}, terminal), out: out() };
    };
    expect(await add(() => Promise.resolve('n'))).toEqual({ status: 64, out: '' });
    expect((await add(() => Promise.reject(new Error('the terminal was closed')))).out).toBe('');
    await expect(readdir(at('store'))).rejects.toThrow('ENOENT');
    expect((await add(() => Promise.resolve('y'))).out.match(/ is trusted for any image: /g)).toHaveLength(2);
    expect(await readdir(at('store/images/root.d'))).toHaveLength(2);
  });

  it('[C277] stores the revocation of a key although another key is declined', async () => {
    const gone = gnupg.newKey('Leaked <leaked@example.com>', 'ed25519');
    await writeFile(at('leaked.asc'), gnupg.export(gone));
    await run('add', at('leaked.asc'), '--deploy', '--yes');
    gnupg.revoke(gone);
    await writeFile(at('successor.asc'), gnupg.export(gone) + gnupg.export(good));
    const asked: string[] = [];
    const { terminal, out } = recordingTerminal({
      ask: async () => {
        asked.push((await run('list')).out);
        return 'n';
      },
    });
    expect(await main(['trust', 'add', at('successor.asc'), '--deploy', ...stores()], {}, terminal)).toBe(64);
    expect(asked).toEqual([expect.stringMatching(/it is revoked/)]);
    expect(out()).toMatch(/^.*is revoked and no longer trusted for commands: .*\n$/);
    expect(await readdir(at('store/deploy'))).toEqual([`${gone.toLowerCase()}.asc`]);
    expect((await run('list')).out).not.toMatch(/ trusted /);
  });

  it('[C278] removes a key of both stores', async () => {
    await run('add', at('team.asc'), '--root', '--yes');
    await cp(at('store'), at('system'), { recursive: true });
    expect(await run('remove', good)).toMatchObject({ status: 0 });
    expect((await run('list')).out).toMatch(/system .*masked/);
    expect((await run('list')).out).not.toMatch(/ trusted /);
  });

  it('[C249] adds no key that would make the stores too large to be read', async () => {
    mkdirSync(at('store/deploy'), { recursive: true });
    for (let index = 0; index < 64; index++) await writeFile(at(`store/deploy/${index}.asc`), `key ${index}`);
    expect(await run('add', at('team.asc'), '--root', '--yes')).toMatchObject({
      status: 64,
      err: expect.stringMatching(/the key stores would hold 65 files .*input-invalid/) as string,
    });
    expect(await readdir(at('store'))).toEqual(['deploy']);
  });

  it('[C249] adds nothing when one of several keys cannot be written', async () => {
    const other = gnupg.newKey('Last <last@example.com>', 'ed25519').toLowerCase();
    await writeFile(at('last.asc'), gnupg.export(other));
    mkdirSync(at(`store/images/root.d/${other}.asc`), { recursive: true });
    const added = await run('add', at('team.asc'), at('last.asc'), '--root', '--yes');
    expect(added).toMatchObject({
      status: 64,
      out: '',
      err: expect.stringMatching(/is a directory/) as string,
    });
    expect(await readdir(at('store/images/root.d'))).toEqual([`${other}.asc`]);
  });

  it('[A9.23] [C249] stores no revocation with a refused file, and trusts no revoked key', async () => {
    const key = gnupg.newKey('Withdrawn <withdrawn@example.com>', 'ed25519');
    await writeFile(at('withdrawn.asc'), gnupg.export(key));
    await run('add', at('withdrawn.asc'), '--deploy', '--yes');
    const certificate = join(gnupg.home, 'openpgp-revocs.d', `${key}.rev`);
    const refused = await run('add', certificate, import.meta.filename, '--deploy', '--yes');
    expect(refused).toMatchObject({ status: 64, out: '' });
    expect((await run('list')).out).toMatch(/commands +local .* trusted /);
    await rm(at('store'), { recursive: true });
    const both = await run('add', at('withdrawn.asc'), certificate, '--deploy', '--yes');
    expect(both).toMatchObject({ status: 64, err: expect.stringMatching(/it is revoked/) as string });
    await expect(readdir(at('store'))).rejects.toThrow('ENOENT');
  });

  it('[C249] removes a key from all places, or from none if a file has other keys, too', async () => {
    await run('add', at('team.asc'), '--deploy', '--yes');
    mkdirSync(at('store/images/root.d'), { recursive: true });
    await writeFile(at('store/images/root.d/pair.asc'), await readFile(at('both.asc')));
    expect(await run('remove', good)).toMatchObject({
      status: 64,
      out: '',
      err: expect.stringMatching(/pair\.asc for any image holds 2 keys; edit it by hand/) as string,
    });
    expect(await readdir(at('store/deploy'))).toEqual([`${good.toLowerCase()}.asc`]);
  });

  it('of several keys adds those that can be trusted, each in its own file', async () => {
    const added = await run('add', at('both.asc'), '--deploy', '--yes');
    expect(added).toMatchObject({ status: 0, err: expect.stringContaining('is left out') as string });
    expect(await readdir(at('store/deploy'))).toEqual([`${good.toLowerCase()}.asc`]);
  });

  it('[A7.14] [A9.18] adds a key that the site of an image offers, after confirmation (discovery.md, ac-discovery-pubkeys)', async () => {
    const tls = loopbackCertificate(['example.com']);
    await writeFile(at('ca.pem'), tls.cert);
    const site = await serve((request, response) => {
      if (request.url === '/keys.asc') response.end(gnupg.export(good));
      else
        response.end('<meta name="ac-discovery-pubkeys" content="example.com https://example.com/keys.asc">');
    }, tls);
    const args = ['add', '--discover', 'example.com/web', '--prefix', 'example.com', '--ca', at('ca.pem')];
    args.push('--connect-to', `example.com:443:127.0.0.1:${new URL(site.url).port}`);
    try {
      expect(await run(...args)).toMatchObject({
        status: 64,
        err: expect.stringContaining('no terminal') as string,
      });
      expect(await run(...args, '--fingerprint', good)).toMatchObject({ status: 0 });
      expect(await readdir(at('store/images/prefix.d/example.com'))).toEqual([`${good.toLowerCase()}.asc`]);
    } finally {
      await site.close();
    }
  });

  it('lists a key that has expired or was revoked since, with the reason', async () => {
    for (const name of ['expired', 'revoked']) {
      mkdirSync(at('store/images/root.d'), { recursive: true });
      await writeFile(at(`store/images/root.d/${name}.asc`), await readFile(at(`${name}.asc`)));
    }
    expect((await run('list')).out).toMatch(/any image +local +.*expired[^]*any image +local +.*revoked/);
  });

  it("[A9.16] removes a local key, and masks one of the system's store", async () => {
    await run('add', at('team.asc'), '--root', '--yes');
    expect(await run('remove', good)).toMatchObject({ status: 0, out: 'no longer trusted for any image\n' });
    expect((await run('list')).out).toContain('there is no key');
    await run('add', at('team.asc'), '--root', '--yes');
    mkdirSync(at('system'));
    renameSync(at('store/images'), at('system/images'));
    expect((await run('list')).out).toMatch(/system .*trusted/);
    expect(await run('remove', good, '--deploy')).toMatchObject({ status: 64 });
    expect(await run('remove', good, '--root')).toMatchObject({ status: 0 });
    expect((await run('list')).out).toMatch(/system .*masked/);
    expect(await run('remove', good)).toMatchObject({
      status: 64,
      err: expect.stringContaining('(not-found)') as string,
    });
  });

  it.each<[string, (revoked: string, certificate: string) => string]>([
    ['a revoked copy of a key', (revoked) => revoked],
    ['a revocation certificate without its key', (_revoked, certificate) => certificate],
  ])('[A9.23] keeps %s for everything that the key is trusted for', async (_what, choose) => {
    const key = gnupg.newKey(`Soon gone ${_what}`, 'ed25519');
    const before = gnupg.export(key);
    await writeFile(at('before.asc'), before);
    await run('add', at('before.asc'), '--deploy', '--yes');
    mkdirSync(at('system/images/root.d'), { recursive: true });
    await writeFile(at('system/images/root.d/vendor.asc'), before);
    const certificate = await readFile(join(gnupg.home, 'openpgp-revocs.d', `${key}.rev`), 'utf8');
    gnupg.revoke(key);
    await writeFile(at('revocation.asc'), choose(gnupg.export(key), certificate));
    const kept = await run('add', at('revocation.asc'), '--deploy');
    expect(kept.status).toBe(0);
    expect(kept.out).toMatch(
      /is revoked and no longer trusted for commands[^]*no longer trusted for any image/,
    );
    expect((await run('list')).out).not.toMatch(/ trusted /);
    // The old copy does not undo the revocation.
    expect(await run('add', at('before.asc'), '--deploy', '--yes')).toMatchObject({
      status: 64,
      err: expect.stringMatching(/it is revoked/) as string,
    });
    expect((await run('list')).out).not.toMatch(/ trusted /);
  });

  it('[A9.23] reports a revocation certificate without its key, and lists a stored one', async () => {
    const key = gnupg.newKey('Never here <never@example.com>', 'ed25519');
    await writeFile(
      at('alone.asc'),
      await readFile(join(gnupg.home, 'openpgp-revocs.d', `${key}.rev`), 'utf8'),
    );
    const refused = await run('add', at('alone.asc'), '--deploy', '--yes');
    expect(refused).toMatchObject({ status: 64, err: expect.stringMatching(/which no store has/) as string });
    mkdirSync(at('store/deploy'), { recursive: true });
    await writeFile(at('store/deploy/alone.asc'), await readFile(at('alone.asc')));
    expect((await run('list')).out).toMatch(/commands +local +alone +revokes /);
  });

  it('[A9.23] extends a key beside an older copy under another name', async () => {
    const key = gnupg.newKey('Extended', 'ed25519', { at: '20200101T000000', expires: '1y' });
    mkdirSync(at('store/images/root.d'), { recursive: true });
    await writeFile(at('store/images/root.d/ci.asc'), gnupg.export(key));
    expect((await run('list')).out).toMatch(/it has expired/);
    gnupg.run(['--passphrase', '', '--quick-set-expire', key, '0']);
    await writeFile(at('extended.asc'), gnupg.export(key));
    await run('add', at('extended.asc'), '--root', '--yes');
    expect((await run('list')).out).not.toMatch(/expired/);
  });
});
