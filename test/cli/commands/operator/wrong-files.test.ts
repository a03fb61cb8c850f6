import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { generateKey } from '../../../../src/wire/trust/sign.ts';
import { loopbackCertificate } from '../../../support/loopback-certificate.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

/** What people get who give a command another file or value than it takes. */

let directory: string;
let broker: EmbeddedBroker;
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-wrong-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  expect(await run('fleet', 'init', 'harbour', '--broker', broker.url)).toMatchObject({ status: 0 });
  const { key, cert } = loopbackCertificate();
  writeFileSync(at('ca.pem'), cert);
  writeFileSync(at('ca.key'), key);
  writeFileSync(at('other.key'), loopbackCertificate().key);
  writeFileSync(at('image.aci'), '\u001f\ufffd an image');
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});

/** Status and message of a refusal, with the directory left out. */
const refusal = async (...args: string[]): Promise<string> => {
  const { status, out, err } = await run(...args);
  expect(out).toBe('');
  return `${status} ${err.replaceAll(`${directory}/`, '')}`;
};

describe('[C279] a file of another kind is refused by its name', () => {
  it.each([
    [['countersign'], 'is not what --sign-only writes: '],
    [['trust', 'root', 'show'], 'is not a root of trust: '],
    [['trust', 'root', 'sign', '--signing-key', 'x'], 'is not a root of trust: '],
    [['trust', 'root', 'install', '--yes'], 'is not a signed root of trust: '],
  ])('by %j', async (args, words) => {
    const said = await refusal(...args, at('image.aci'));
    expect(said).toContain(`64 wherry: image.aci ${words}`);
    expect(said).toContain('(input-invalid)');
  });

  it('also where the fleet directory holds it', async () => {
    mkdirSync(at('fleet/roots'));
    writeFileSync(at('fleet/roots/1.cbor'), 'x');
    expect(await refusal('trust', 'root', 'show')).toContain('64 wherry: fleet/roots/1.cbor is not a root');
    rmSync(at('fleet/roots'), { recursive: true });
  });

  it('as the file of an authority, with what openssl says of it', async () => {
    const enrol = (cert: string, key: string) =>
      refusal('fleet', 'enrol', 'crane-7', '--ca-cert', at(cert), '--ca-key', at(key), '-o', at('a.enrol'));
    expect(await enrol('none', 'ca.key')).toMatch(
      /^64 wherry: the certificate of the authority none cannot be read/,
    );
    expect(await enrol('ca.pem', 'none')).toMatch(
      /^64 wherry: the file none of the authority cannot be read/,
    );
    expect(await enrol('ca.pem', 'other.key')).toMatch(
      /could not make the certificate: .*do(es)? not match/i,
    );
    expect(readdirSync(directory)).not.toContain('a.enrol');
  });
});

describe('[C279] a file that cannot be read is refused with the reason', () => {
  it.each([
    [['countersign', 'DIR'], 'the command DIR cannot be read: it is a directory; name a file'],
    [['countersign', 'NONE'], 'the command NONE cannot be read: no such file'],
    [['trust', 'root', 'show', 'DIR'], 'DIR cannot be read: it is a directory'],
    [['image', 'discover', 'example.com/web', '--ca', 'DIR'], 'the certificates DIR cannot be read: it is a'],
    [
      ['deploy', 'crane-7', '--stop-all', '--signing-key', 'DIR'],
      'the signing key DIR cannot be read: it is a',
    ],
  ])('by %j', async (args, words) => {
    mkdirSync(at('dir'), { recursive: true });
    const path: Readonly<Record<string, string>> = { DIR: at('dir'), NONE: at('none') };
    const said = await refusal(...args.map((arg) => path[arg] ?? arg));
    expect(said).toContain(words.replace('DIR', 'dir').replace('NONE', 'none'));
    expect(said).toMatch(/^64 /);
  });

  it('as one that fleet.toml names', async () => {
    const toml = readFileSync(at('fleet/fleet.toml'), 'utf8');
    writeFileSync(at('fleet/fleet.toml'), toml.replace(/^url = .*$/m, '$&\nca = "images"'));
    const said = await refusal('status').finally(() => writeFileSync(at('fleet/fleet.toml'), toml));
    expect(said).toContain('70 wherry: fleet.toml: the file images cannot be read: it is a directory');
  });
});

describe('[C279] a path that cannot be written is named as it was given', () => {
  it('by --sign-only and by enrol', async () => {
    const output = ['--sign-only', '-o', at('none/x.cbor')];
    const said = await refusal('deploy', 'crane-7', '--stop-all', ...output);
    expect(said).toContain('none/x.cbor: no such file or directory');
    await run('fleet', 'enrol', 'crane-7', '-o', at('b.enrol'));
    const tree = await refusal('enrol', at('b.enrol'), '--root', at('none'));
    expect(tree).toMatch(/nothing is left: none\/etc: no such file or directory \(input-invalid\)\n$/);
  });
});

describe('a value that an option does not take', () => {
  it.each([
    [['--broker', 'http://broker'], '--broker takes mqtt://HOST:PORT'],
    [['--broker', 'mqtt://user:password@broker'], '--broker takes mqtt://HOST:PORT'],
    [['--images', 'ftp://images'], '--images takes an http or https address'],
  ])('is refused by fleet init %j before anything is made', async (args, words) => {
    const made = await wherry(['--fleet', at('new'), 'fleet', 'init', 'harbour', ...args]);
    expect(made).toMatchObject({ status: 64, err: expect.stringContaining(words) as string });
    expect(readdirSync(directory)).not.toContain('new');
  });

  it.each([
    [['deploy', 'crane-7', '--base-url', 'ftp://x'], '--base-url takes an http or https address'],
    [['rollout', 'start', 'crane-7', '--base-url', 'images'], '--base-url takes an http or https address'],
    [
      ['rollout', 'start', 'crane-7', '--database', 'http://x'],
      '--database takes a SQLite file, or postgres://',
    ],
    [['rollout', 'list', '--database', 'mysql://x/y'], '--database takes a SQLite file, or postgres://'],
    [
      ['rollout', 'list', '--database', 'postgres://[::1/x'],
      '--database takes a SQLite file, or postgres://',
    ],
    [['rollout', 'list', '--database', 'postgres:x'], '--database takes a SQLite file, or postgres://'],
    [['rollout', 'start', 'crane-7', '--stage', '0%'], '"0%" is not a stage'],
    [
      ['rollout', 'start', 'crane-7', '--soak', '90d'],
      '--soak is too long: commands of this fleet are valid',
    ],
    [['rollout', 'start', 'crane-7', '--answer-within', '90d'], '--answer-within is too long'],
    [['rollout', 'start', 'crane-7', '--answer-within', '0s'], '--answer-within takes at least a second'],
    [['deploy', 'crane-7', '--memory', 'x'], '--memory takes a quantity such as 64Mi, not "x"'],
    [['deploy', 'crane-7', '--cpu', ''], '--cpu takes a quantity such as 500m'],
    [['deploy', 'crane-7', '--cpu', '1,5'], '--cpu takes a quantity such as 500m'],
    [['rollout', 'start', 'crane-7', '--tasks', 'many'], '--tasks takes a quantity such as 32'],
    [['rollout', 'start', 'crane-7', '--errors', '101%'], 'it takes percent such as 5 or 0.5%'],
    [['sim', '1', '--prefix', 'Crane'], '--prefix takes lower-case words'],
    [['sim', '11', '--prefix', 'x'.repeat(62)], '--prefix takes lower-case words'],
    [['sim', '1', '--group', 'x'.repeat(65)], '--group takes lower-case words'],
    [['sim', '1', '--broker', 'ftp://x'], '--broker takes mqtt://HOST:PORT'],
  ])('is refused by wherry %j before it does anything', async (args, words) => {
    const wanted = /deploy|start/.test(args.join(' ')) ? ['--stop-all'] : [];
    const { status, out, err } = await run(...args, ...wanted);
    expect({ status, out, err }).toEqual({
      status: 64,
      out: '',
      err: expect.stringContaining(words) as string,
    });
    expect(err).toContain('(usage)');
    expect(err.trimEnd()).not.toContain('\n');
  });

  it('is in fleet.toml: a database of another kind, and a name that topics cannot have', async () => {
    const withLine = async (line: RegExp, by: string) => {
      await rename(at('fleet/fleet.toml'), at('kept.toml'));
      const toml = readFileSync(at('kept.toml'), 'utf8');
      writeFileSync(at('fleet/fleet.toml'), toml.replace(line, by));
      return await run('rollout', 'list').finally(() => rename(at('kept.toml'), at('fleet/fleet.toml')));
    };
    expect(await withLine(/^# database = .*/m, 'database = "http://x"')).toMatchObject({
      status: 70,
      err: 'wherry: fleet.toml: rollouts.database takes a file, or postgres://host/database (config-invalid)\n',
    });
    expect(await withLine(/^fleet = .*/m, `fleet = "${'x'.repeat(65)}"`)).toMatchObject({
      status: 70,
      err: 'wherry: fleet.toml: fleet takes lower-case words with dashes, at most 64 characters (config-invalid)\n',
    });
  });

  it('is an address of a WebSocket no longer', async () => {
    const made = await wherry(['--fleet', at('web'), 'fleet', 'init', 'harbour', '--broker', 'wss://broker']);
    expect(made).toMatchObject({ status: 0 });
    expect((await wherry(['--fleet', at('web'), 'fleet', 'provision', 'crane-7'])).out).toContain(
      'wss://broker',
    );
  });

  it('is a value of --version, which would print the version and succeed', async () => {
    const built = await refusal('image', 'build', 'rootfs', '--version', '1.0', '-o', at('c.aci'));
    expect(built).toBe('64 wherry: --version prints the version of wherry and takes no value (usage)\n');
    expect(await run('--json', '--version')).toMatchObject({ status: 0, out: 'development\n' });
    expect(await run('image', '--version')).toMatchObject({ status: 0, out: 'development\n' });
  });
});

describe('a root of trust', () => {
  it('is not made with a threshold that its keys cannot reach', async () => {
    const key = ['--root-key', at('fleet/keys/deploy.pub.asc')];
    expect(await refusal('trust', 'root', 'init', ...key, '--root-threshold', '2')).toBe(
      '64 wherry: 2 keys of the role root would have to sign, and it would have 1 key: name more keys, or lower its threshold (input-invalid)\n',
    );
  });

  it('[C280] is not signed with a key of another role of it', async () => {
    const alice = await generateKey({ name: 'alice' });
    writeFileSync(at('alice.asc'), alice.publicKey);
    writeFileSync(at('alice.key.asc'), alice.privateKey);
    expect(await run('trust', 'root', 'init', '--root-key', at('alice.asc'))).toMatchObject({ status: 0 });
    const before = readFileSync(at('fleet/roots/1.cbor'));
    const sign = (key: string) => run('trust', 'root', 'sign', '--signing-key', at(key));
    const refused = await sign('fleet/keys/deploy.key.asc');
    expect(refused).toMatchObject({ status: 77, out: '' });
    expect(refused.err).toMatch(/does not count for root 1: .*not trusted for this \(key-unknown\)/);
    expect(readFileSync(at('fleet/roots/1.cbor'))).toEqual(before);
    const unsigned = await run('trust', 'root', 'publish');
    expect(unsigned.err).toMatch(
      /carries no signature; sign it with "wherry trust root sign", or delete .*1\.cbor/,
    );
    expect(await sign('alice.key.asc')).toMatchObject({ status: 0 });
  });
});
