import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { rootFiles } from '../../../../src/device/agent/root-files.ts';
import { MqttTransport } from '../../../../src/wire/mqtt/index.ts';
import { readDraft } from '../../../../src/operator/fleet/index.ts';
import { decodeEnvelope, signersOf } from '../../../../src/wire/trust/index.ts';
import { examineMessage, examineRoot } from '../../../../src/wire/trust/openpgp.ts';
import { generateKey } from '../../../../src/wire/trust/sign.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { openGnuPg, type GnuPg } from '../../../support/gnupg.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
let gpg: GnuPg;
/** Root keys, all of GnuPG. */
const people: Record<string, string> = {};
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-root-cli-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  gpg = openGnuPg();
  vi.stubEnv('GNUPGHOME', gpg.home);
  for (const name of ['alice', 'bob', 'carol', 'dave', 'second']) {
    people[name] = gpg.newKey(`${name}@example.com`, 'ed25519');
    writeFileSync(at(`${name}.asc`), gpg.export(people[name]));
  }
  expect(await run('fleet', 'init', 'harbour', '--broker', broker.url)).toMatchObject({ status: 0 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  gpg.close();
  await broker.close();
  rmSync(directory, { recursive: true });
});

const retained = async (topic: string): Promise<Uint8Array | undefined> => {
  let found: Uint8Array | undefined;
  const connection = await new MqttTransport({ url: broker.url, version: 4 }).connect({
    clientId: 'reader',
    keepaliveSeconds: 60,
    onMessage: ({ payload }) => (found = payload),
  });
  await connection.subscribe([topic]);
  await connection.publish({ topic: 'v1/harbour/end', payload: new Uint8Array() }, { retain: false });
  await connection.close();
  return found;
};
const roots = (...names: string[]) => names.flatMap((name) => ['--root-key', at(`${name}.asc`)]);
const nowSeconds = () => Math.floor(Date.now() / 1000) + 60;

describe('wherry trust root', () => {
  it('creates a root that two of three people sign on their own machines', async () => {
    const deploy = ['--deploy-key', at('fleet/keys/deploy.pub.asc'), '--deploy-key', at('second.asc')];
    const made = await run('trust', 'root', 'init', ...roots('alice', 'bob', 'carol'), '--root-threshold', '2', ...deploy, '--deploy-threshold', '2'); // prettier-ignore
    expect(made).toMatchObject({ status: 0, err: '' });
    expect(made.out).toMatch(/root 1 of fleet harbour/);
    expect(made.out).toMatch(/deploy: 2 of 2/);
    expect(made.out).toMatch(/signed by 0 of the root keys of version 1; 2 more must sign/);
    expect(await run('trust', 'root', 'publish')).toMatchObject({ status: 77 });

    // GnuPG by name; a signature made on a machine without wherry; the same key counts once.
    const file = at('fleet/roots/1.cbor');
    expect(await run('trust', 'root', 'sign', file, '--gpg', 'alice@example.com')).toMatchObject({
      status: 0,
    });
    const again = await run('trust', 'root', 'sign', file, '--gpg', 'alice@example.com');
    expect(again.out).toMatch(/signed by 1 of the root keys of version 1; 1 more must sign/);
    const { payload } = readDraft(readFileSync(file));
    writeFileSync(at('bob.sig'), gpg.sign(payload, people['bob'] ?? ''));
    const signed = await run('trust', 'root', 'sign', '--signature', at('bob.sig'));
    expect(signed.out).toMatch(/signed by enough of the root keys of version 1/);
    const shown = JSON.parse((await run('trust', 'root', 'show', '--json')).out) as { signedBy: string[] };
    expect(shown.signedBy.sort()).toEqual(
      [people['alice'], people['bob']].map((key) => key?.toLowerCase()).sort(),
    );
    expect(readDraft(readFileSync(file)).signatures).toHaveLength(2);
  });

  it('refuses what devices would refuse, with advice', async () => {
    for (const [args, status, problem] of [
      [['sign', '--gpg', 'dave@example.com'], 77, /does not count for root 1.*key-unknown/],
      [
        ['sign', '--gpg', 'nobody@example.com'],
        64,
        /gpg did not sign with nobody@example.com: .*input-invalid/,
      ],
      [['sign'], 64, /specify who signs: --signing-key FILE, --gpg FINGERPRINT/],
      [['sign', '--gpg', 'a', '--signing-key', 'b'], 64, /give one of/],
      [['sign', at('none.cbor'), '--gpg', 'a'], 64, /none.cbor cannot be read/],
      [['init', ...roots('alice')], 64, /has root 1; make the next with "wherry trust root rotate"/],
      [['rotate', '--drop', '0'.repeat(40)], 64, /no role has the key 0{40}/],
      [
        ['rotate', '--root-threshold', '4'],
        64,
        /4 keys of the role root would have to sign, and it would have 3 keys/,
      ],
      [['rotate', '--images-key', 'A B=x.asc'], 64, /takes a prefix such as example.com\/web/],
      [['publish'], 64, /devices take the first root from a file/],
    ] as const) {
      const refused = await run('trust', 'root', ...args);
      expect(refused.err).toMatch(problem);
      expect(refused.status).toBe(status);
    }
    const short = gpg.newKey('short@example.com', 'ed25519', { expires: '1y' });
    writeFileSync(at('short.asc'), gpg.export(short));
    expect((await run('trust', 'root', 'rotate', ...roots('short', 'alice'))).err).toMatch(
      /expires on .*, before the root does/,
    );
  });

  it('[C85] rotates: keys of both roots sign, and the broker retains the step', async () => {
    const carol = (people['carol'] ?? '').toLowerCase();
    const made = await run(
      'trust',
      'root',
      'rotate',
      ...roots('alice', 'bob', 'dave'),
      '--root-threshold',
      '3',
    );
    expect(made).toMatchObject({ status: 0 });
    for (const name of ['alice', 'bob']) await run('trust', 'root', 'sign', '--gpg', `${name}@example.com`);
    expect((await run('trust', 'root', 'publish')).err).toMatch(
      /devices would refuse root 2: .*threshold-not-met/,
    );
    // An outgoing key may sign on any machine that the file reaches.
    expect(await run('trust', 'root', 'sign', '--gpg', 'carol@example.com')).toMatchObject({ status: 0 });
    expect(await run('trust', 'root', 'sign', '--gpg', 'dave@example.com')).toMatchObject({ status: 0 });
    const published = await run('trust', 'root', 'publish');
    expect(published).toMatchObject({ status: 0, out: 'root 2  published\n' });
    const message = await retained('v1/harbour/root/2');
    const trusted = readDraft(readFileSync(at('fleet/roots/1.cbor'))).root;
    const time = { nowSeconds: nowSeconds(), clockTrusted: true };
    const taken = await examineRoot(message ?? new Uint8Array(), { trusted, fleet: 'harbour', time });
    expect(taken.outcome).toBe('new');
    expect(taken.root.roles['root']?.keys).not.toContain(carol);
    expect(taken.root.roles['deploy']).toEqual(trusted.roles['deploy']);
  });

  it('[C86] installs a root on a device, and provisions a new one with it', async () => {
    const store = at('device');
    const file = at('fleet/roots/2.cbor');
    const asked = await wherry(['trust', 'root', 'install', file, '--directory', store]);
    expect(asked.err).toMatch(/root 2 of fleet harbour, until .*, signed by/);
    expect(asked.status).toBe(64);
    const installed = await wherry(['trust', 'root', 'install', file, '--directory', store, '--yes']);
    expect(installed).toMatchObject({ status: 0, err: '' });
    const listed = await wherry(['trust', 'list', '--directory', store, '--system', at('none')]);
    expect(listed.err).toMatch(
      /device\/root\.cbor is a root of trust .*the keys below are trusted for nothing/,
    );
    expect(rootFiles({ local: store }).map(({ bytes }) => Buffer.from(bytes))).toEqual([readFileSync(file)]);
    writeFileSync(at('half.cbor'), readFileSync(file).subarray(0, 100));
    const broken = await wherry(['trust', 'root', 'install', at('half.cbor'), '--directory', store, '--yes']);
    expect(broken.err).toMatch(/half\.cbor is not a signed root of trust: .*\(input-invalid\)/);
    expect(await run('fleet', 'provision', 'crane-1', '-o', at('card'))).toMatchObject({ status: 0 });
    expect(readFileSync(at('card/etc/wherry/trust/root.cbor'))).toEqual(readFileSync(file));
  });
});

describe('[C349] a root that is installed by hand', () => {
  const store = at.bind(undefined, 'tree', 'etc', 'wherry', 'trust');
  const installed = (file: string, ...options: string[]) =>
    wherry(['trust', 'root', 'install', file, '--directory', store(), ...options]);
  const rootFile = (version: number) => at(`fleet/roots/${version}.cbor`);

  it('is refused if it is older than the one that is there, and if it is of another fleet', async () => {
    expect(await installed(rootFile(2), '--yes')).toMatchObject({ status: 0, err: '' });
    const older = await installed(rootFile(1), '--yes');
    expect(older.err).toMatch(/root\.cbor is root 2, and this is root 1 \(root-older\)/);
    expect(readFileSync(join(store(), 'root.cbor'))).toEqual(readFileSync(rootFile(2)));
    expect(await installed(rootFile(2), '--yes')).toMatchObject({ status: 0 });
    const config = 'fleet = "quarry"\ndevice = "crane-1"\n[broker]\nurl = "mqtt://broker"\n';
    writeFileSync(join(store(), '..', 'wherry.toml'), config);
    const strange = await installed(rootFile(2), '--yes');
    expect(strange.err).toMatch(
      /the root is for fleet harbour; this device is of fleet quarry \(wrong-fleet\)/,
    );
    rmSync(at('tree'), { recursive: true });
  });

  it('is refused if keys that signed it are revoked on the device', async () => {
    mkdirSync(join(store(), 'deploy'), { recursive: true });
    for (const name of ['alice', 'bob', 'carol']) {
      const revocation = join(gpg.home, 'openpgp-revocs.d', `${people[name] ?? ''}.rev`);
      writeFileSync(join(store(), 'deploy', `${name}.asc`), readFileSync(revocation));
    }
    const refused = await installed(rootFile(2), '--yes');
    expect(refused.err).toMatch(/revoked/);
    expect(refused.status).toBe(77);
    rmSync(at('tree'), { recursive: true });
  });

  it('shows when it expires, and is noted when it has', async () => {
    const asked = await installed(rootFile(2));
    expect(asked.err).toMatch(/root 2 of fleet harbour, until \d{4}-\d\d-\d\dT.*Z, signed by/);
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2090-01-01') });
    const old = await installed(rootFile(2), '--yes').finally(() => vi.useRealTimers());
    expect(old.err).toContain('note: root 2 has expired: with it a device takes no commands');
    rmSync(at('tree'), { recursive: true });
  });

  it('names a directory in its place', async () => {
    expect((await installed(at('fleet'))).err).toMatch(/fleet cannot be read: it is a directory/);
  });
});

describe('[C350] an enrolment beside a root that is not complete', () => {
  it('notes what the device gets', async () => {
    expect(await run('trust', 'root', 'rotate')).toMatchObject({ status: 0 });
    const made = await run('fleet', 'enrol', 'crane-2', '-o', at('crane-2.enrol'));
    expect(made.err).toMatch(/note: root 3 is not complete \(.*no signature\): the device gets root 2\n/);
    expect(made.status).toBe(0);
    expect((await run('fleet', 'provision', 'crane-2')).err).toMatch(/note: root 3 is not complete/);
    expect((await run('trust', 'root', 'publish')).err).toMatch(/or delete .*roots\/3\.cbor if nobody will/);
    rmSync(at('fleet/roots/3.cbor'));
    expect((await run('fleet', 'enrol', 'crane-2', '-o', at('crane-3.enrol'))).err).toBe('');
  });
});

describe('a command that two people sign', () => {
  it('[C83] is signed by the first, countersigned and published by the second', async () => {
    const device = new FakeDevice({ url: broker.url, fleet: 'harbour', device: 'crane-1' }).start();
    try {
      const alone = await run('deploy', 'crane-1', '--stop-all');
      expect(alone.err).toMatch(
        /2 different keys must sign; .*--sign-only -o FILE.*wherry countersign.*threshold-not-met/,
      );
      expect(alone.status).toBe(77);
      const stranger = await run('deploy', 'crane-1', '--stop-all', '--gpg', 'dave@example.com', '--sign-only', '-o', at('x.cbor')); // prettier-ignore
      expect(stranger.err).toMatch(/root 2 of this fleet names who may command.*key-unknown/);
      const file = at('crane-1.cbor');
      const first = await run('deploy', 'crane-1', '--stop-all', '--sign-only', '-o', file);
      expect(first).toMatchObject({ status: 0, err: '' });
      expect(device.obeyed).toEqual([]);
      const same = await run('countersign', file);
      expect(same.err).toMatch(/threshold-not-met/);
      const second = await run('countersign', file, '--gpg', 'second@example.com');
      expect(second.err).toMatch(/crane-1 {2}version 1 {2}committed/);
      expect(second.status).toBe(0);
      expect(device.obeyed).toHaveLength(1);

      const { root } = readDraft(readFileSync(at('fleet/roots/2.cbor')));
      const message = await retained('v1/harbour/d/crane-1/desired');
      const examined = await examineMessage(message ?? new Uint8Array(), {
        ...signersOf(root, 'deploy'),
        fleet: 'harbour',
        device: 'crane-1',
        trusted: { version: 0, payloadSha256: '', issued: 0 },
        time: { nowSeconds: nowSeconds(), clockTrusted: true },
      });
      expect(examined.signedBy).toHaveLength(2);
      // The stored message is the published one.
      expect(readFileSync(at('fleet/devices/crane-1/1.cbor'))).toEqual(Buffer.from(message ?? []));
      expect(readFileSync(at('fleet/devices/crane-1/1.outcome'), 'utf8')).toBe('committed\n');
      const shown = await run('status', 'crane-1');
      expect(shown.out).toMatch(/crane-1: has no root of trust, and the newest .* is root 2; install it/);
    } finally {
      await device.close();
    }
  });

  it('can be signed by a key in a file, and passed to a third person unpublished', async () => {
    const other = await generateKey({ name: 'other' });
    writeFileSync(at('other.key.asc'), other.privateKey);
    const file = at('crane-2.cbor');
    expect(await run('deploy', 'crane-2', '--stop-all', '--gpg', 'second@example.com', '--sign-only', '-o', file)).toMatchObject({ status: 0 }); // prettier-ignore
    // A key without the role is refused, and the file stays unchanged.
    const before = readFileSync(file);
    const without = await run('countersign', file, '--signing-key', at('other.key.asc'), '--no-publish');
    expect(without.err).toMatch(/key-unknown/);
    expect(readFileSync(file)).toEqual(before);
    const more = await run('countersign', file, '--no-publish');
    expect(more).toMatchObject({ status: 0, out: `signed ${file}\n` });
    expect(decodeEnvelope(readFileSync(file)).signatures).toHaveLength(2);
    const two = ['deploy', 'crane-2', 'crane-3', '--stop-all', '--sign-only', '-o', file];
    expect((await run(...two)).err).toMatch(/a file holds the command of one device/);
    expect((await run('deploy', 'crane-2', '--stop-all', '--sign-only')).err).toMatch(/-o FILE go together/);
  });
});
