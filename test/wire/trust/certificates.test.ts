import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as openpgp from 'openpgp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { readKeys, verifyEnvelope } from '../../../src/wire/trust/openpgp.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';

// Copies of one certificate with different contents: rpm-software-management/rpm#3495 and #2577,
// freedomofpress/securedrop-workstation#953. Made with GnuPG 2.2 and later.
const data = Buffer.from('a command');
const now = Math.floor(Date.now() / 1000);

let gpg: GnuPg;
beforeAll(() => {
  gpg = openGnuPg();
});
afterAll(() => gpg.close());

/** The verdict on a command with this signature: the code, or "accepted". */
async function judged(
  signature: string,
  keys: readonly string[],
  { copies = [] as readonly string[], at = now, clockTrusted = true } = {},
): Promise<string> {
  try {
    await verifyEnvelope(data, [signature], keys, { nowSeconds: at, clockTrusted }, copies);
    return 'accepted';
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

/** The verdict with two files, which must be the same in both orders. */
async function inBothOrders(signature: string, one: string, other: string): Promise<string> {
  const verdicts = [await judged(signature, [one, other]), await judged(signature, [other, one])];
  expect(verdicts[1]).toBe(verdicts[0]);
  return verdicts[0] ?? '';
}

/**
 * GnuPG's prepared revocation certificate. A colon precedes its BEGIN line, so that nobody imports
 * it by accident.
 */
const preparedRevocation = (fingerprint: string): string =>
  readFileSync(join(gpg.home, 'openpgp-revocs.d', `${fingerprint}.rev`), 'utf8');

/**
 * What `gpg --gen-revoke` writes. `reason` is 0 for none, 1 compromised, 2 superseded, 3 retired.
 */
function revocationCertificate(fingerprint: string, reason: number, ...options: readonly string[]): string {
  const means = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
  const answers = `y\n${reason}\n\ny\n`;
  return gpg.run([...means, ...options, '--gen-revoke', fingerprint], answers).stdout;
}

function addSubkey(primary: string, ...options: readonly string[]): string {
  gpg.run([...options, '--passphrase', '', '--quick-add-key', primary, 'ed25519', 'sign', 'never']);
  const listing = gpg.run(['--with-colons', '--list-keys', primary]).stdout;
  return [...listing.matchAll(/^fpr:+([0-9A-F]{40}):$/gm)].at(-1)?.[1] ?? '';
}

describe('[A9.23] two files that hold the same key', () => {
  it('are revoked when one of them is', async () => {
    const key = gpg.newKey('revoked copy', 'ed25519');
    const old = gpg.export(key);
    const signature = gpg.sign(data, key);
    gpg.revoke(key);
    expect(await inBothOrders(signature, old, gpg.export(key))).toBe('key-unusable');
  });

  it('are valid when one of them was extended', async () => {
    const key = gpg.newKey('extended copy', 'ed25519', { at: '20200101T000000', expires: '1y' });
    const old = gpg.export(key);
    gpg.run(['--passphrase', '', '--quick-set-expire', key, '0']);
    expect(await inBothOrders(gpg.sign(data, key), old, gpg.export(key))).toBe('accepted');
  });

  it('have the subkeys of both', async () => {
    const key = gpg.newKey('new subkey', 'ed25519', { usage: 'cert' });
    addSubkey(key);
    const old = gpg.export(key);
    const signature = gpg.sign(data, addSubkey(key));
    expect(await inBothOrders(signature, old, gpg.export(key))).toBe('accepted');
  });

  it('lose a subkey that one of them revokes', async () => {
    const key = gpg.newKey('revoked subkey', 'ed25519', { usage: 'cert' });
    const signature = gpg.sign(data, addSubkey(key));
    const old = gpg.export(key);
    const edit = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
    gpg.run([...edit, '--edit-key', key], 'key 1\nrevkey\ny\n1\n\ny\nsave\n');
    expect(await inBothOrders(signature, old, gpg.export(key))).toBe('key-unusable');
  });

  it('count once among the keys that were read', async () => {
    const key = gpg.newKey('twice', 'ed25519');
    const old = gpg.export(key);
    gpg.run(['--passphrase', '', '--quick-add-uid', key, 'second name']);
    const { usable, unusable } = await readKeys([old, gpg.export(key), old], {
      nowSeconds: now,
      clockTrusted: true,
    });
    expect(unusable).toEqual([]);
    expect(usable.map(({ userIds }) => userIds.toSorted())).toEqual([['second name', 'twice']]);
  });

  it('do not count when both together revoke all user IDs', async () => {
    // GnuPG refuses to revoke the last valid user ID, so two homes revoke one each.
    const key = gpg.newKey('first name', 'ed25519');
    gpg.run(['--passphrase', '', '--quick-add-uid', key, 'second name']);
    const signature = gpg.sign(data, key);
    const other = openGnuPg();
    try {
      const secret = gpg.run(['--armor', '--export-secret-keys', key]).stdout;
      other.run(['--import', other.writeFile('secret', secret)]);
      gpg.run(['--passphrase', '', '--quick-revoke-uid', key, 'first name']);
      other.run(['--passphrase', '', '--quick-revoke-uid', key, 'second name']);
      const [one, two] = [gpg.export(key), other.export(key)];
      expect(await judged(signature, [one])).toBe('accepted');
      expect(await judged(signature, [two])).toBe('accepted');
      expect(await inBothOrders(signature, one, two)).toBe('key-unusable');
      const { unusable } = await readKeys([one, two], { nowSeconds: now, clockTrusted: true });
      expect(unusable[0]?.reason).toBe('all its user IDs are revoked');
    } finally {
      other.close();
    }
  });
});

describe('[A9.23] a revocation certificate without its key', () => {
  it.each<[string, (fingerprint: string) => string]>([
    ['as GnuPG prepared it, with the colon before the block', preparedRevocation],
    ['of gpg --gen-revoke', (fingerprint) => revocationCertificate(fingerprint, 1)],
    [
      'with a hash that is too weak for any other signature',
      (fingerprint) =>
        revocationCertificate(
          fingerprint,
          1,
          '--cert-digest-algo',
          'RIPEMD160',
          '--digest-algo',
          'RIPEMD160',
        ),
    ],
    [
      'with an unknown critical notation',
      (fingerprint) => revocationCertificate(fingerprint, 1, '--cert-notation', '!mood@example.com=bad'),
    ],
    [
      'in a block for signatures, as sq 0.27 writes it',
      (fingerprint) =>
        revocationCertificate(fingerprint, 1).replaceAll('PGP PUBLIC KEY BLOCK', 'PGP SIGNATURE'),
    ],
  ])('%s revokes the key in another file', async (_what, produce) => {
    const key = gpg.newKey(`bare ${_what}`, 'ed25519');
    const signature = gpg.sign(data, key);
    expect(await judged(signature, [gpg.export(key)])).toBe('accepted');
    expect(await inBothOrders(signature, gpg.export(key), produce(key))).toBe('key-unusable');
    expect(await judged(signature, [gpg.export(key)], { copies: [produce(key)] })).toBe('key-unusable');
  });

  it('counts on a device whose clock is behind it, also for a superseded key', async () => {
    const key = gpg.newKey('superseded', 'ed25519', { at: '20200101T000000' });
    const signature = gpg.sign(data, key, '--faked-system-time', '20200601T000000!');
    const keys = [gpg.export(key), revocationCertificate(key, 2)];
    expect(await judged(signature, keys)).toBe('key-unusable');
    expect(await judged(signature, keys, { at: 0, clockTrusted: false })).toBe('key-unusable');
  });

  it.each<[string, number, string, ...string[]]>([
    ['without a reason', 0, 'key-unusable'],
    ['of a compromised key', 1, 'key-unusable'],
    // The library ignores this one.
    ['with a weak hash', 1, 'key-unusable', '--cert-digest-algo', 'RIPEMD160', '--digest-algo', 'RIPEMD160'],
    ['of a superseded key', 2, 'accepted'],
    ['of a retired key', 3, 'accepted'],
  ])('%s, later than a trusted clock: reason %d, %s', async (_what, reason, verdict, ...options) => {
    const key = gpg.newKey(`later ${reason}`, 'ed25519', { at: '20200101T000000' });
    const signature = gpg.sign(data, key, '--faked-system-time', '20200601T000000!');
    const keys = [gpg.export(key), revocationCertificate(key, reason, ...options)];
    expect(await judged(signature, keys, { at: Date.UTC(2020, 6) / 1000 })).toBe(verdict);
  });

  it('by a designated revoker counts, in any copy', async () => {
    const [key, revoker] = [gpg.newKey('has a revoker', 'ed25519'), gpg.newKey('revoker', 'ed25519')];
    const means = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
    gpg.run([...means, '--edit-key', key], `addrevoker\n${revoker}\ny\nsave\n`);
    const signature = gpg.sign(data, key);
    expect(await judged(signature, [gpg.export(key)])).toBe('accepted');
    const certificate = gpg.run([...means, '--desig-revoke', key], 'y\n1\n\ny\n').stdout;
    // GnuPG writes it as a copy of the key.
    expect(await inBothOrders(signature, gpg.export(key), certificate)).toBe('key-unusable');
    gpg.run(['--import', gpg.writeFile('designated', certificate)]);
    const other = gpg.newKey('stranger', 'ed25519');
    expect(await judged(gpg.sign(data, other), [gpg.export(other), certificate])).toBe('accepted');
    const old = gpg.run(['--armor', '--export-options', 'export-clean', '--export', key]).stdout;
    expect(await inBothOrders(signature, old, gpg.export(key))).toBe('key-unusable');
  });

  it('of a designated revoker itself does not revoke the key that names it', async () => {
    const [key, revoker] = [gpg.newKey('names a revoker', 'ed25519'), gpg.newKey('is named', 'ed25519')];
    const means = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
    gpg.run([...means, '--edit-key', key], `addrevoker\n${revoker}\ny\nsave\n`);
    const signature = gpg.sign(data, key);
    expect(await inBothOrders(signature, gpg.export(key), preparedRevocation(revoker))).toBe('accepted');
  });

  it('of another key, or forged, does not revoke', async () => {
    const [key, other] = [gpg.newKey('mine', 'ed25519'), gpg.newKey('theirs', 'ed25519')];
    const signature = gpg.sign(data, key);
    expect(await judged(signature, [gpg.export(key), preparedRevocation(other)])).toBe('accepted');
    expect(await judged(signature, [gpg.export(key), await forged(revocationCertificate(key, 1))])).toBe(
      'accepted',
    );
  });

  it('counts beside a forged one in another copy', async () => {
    const key = gpg.newKey('forged beside genuine', 'ed25519');
    const signature = gpg.sign(data, key);
    const keys = [gpg.export(key), await forged(preparedRevocation(key)), revocationCertificate(key, 1)];
    expect(await judged(signature, keys)).toBe('key-unusable');
  });

  it('does not make a key trusted', async () => {
    const key = gpg.newKey('not trusted', 'ed25519');
    const signature = gpg.sign(data, key);
    expect(await judged(signature, [preparedRevocation(key)])).toBe('key-unknown');
  });
});

describe('[A9.23] a copy in a file whose keys are not trusted', () => {
  it('revokes and extends a key that is trusted, and adds none', async () => {
    const key = gpg.newKey('elsewhere', 'ed25519');
    const old = gpg.export(key);
    const signature = gpg.sign(data, key);
    expect(await judged(signature, [], { copies: [old] })).toBe('key-unknown');
    gpg.revoke(key);
    expect(await judged(signature, [old], { copies: [gpg.export(key)] })).toBe('key-unusable');
  });

  it('does not bind a subkey that the key did not bind', async () => {
    const [victim, attacker] = [gpg.newKey('victim', 'ed25519'), gpg.newKey('attacker', 'ed25519')];
    const subkey = addSubkey(attacker);
    const signature = gpg.sign(data, subkey);
    const theirs = await openpgp.readKey({ armoredKey: gpg.export(attacker) });
    const packets = (await openpgp.readKey({ armoredKey: gpg.export(victim) })).toPacketList();
    packets.push(...theirs.toPacketList().slice(-2)); // the subkey and its binding to the other key
    const grafted = new openpgp.PublicKey(packets).armor();
    expect(grafted).not.toBe(gpg.export(victim));
    expect(await judged(signature, [gpg.export(victim)], { copies: [grafted] })).toBe('key-unusable');
  });
});

/** The same certificate with one bit of its signature flipped. */
async function forged(certificate: string): Promise<string> {
  const { data: bytes } = (await openpgp.unarmor(
    certificate.replace(/^[^]*?(?=-----BEGIN)/, ''),
  )) as unknown as {
    data: Uint8Array;
  };
  const flipped = Buffer.from(bytes);
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
  return openpgp.armor(openpgp.enums.armor.publicKey, flipped);
}
