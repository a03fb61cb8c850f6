import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAcIdentifier, parseAcName } from '../../../src/image/appc/identifiers.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import {
  decodeEnvelope,
  encodeDesiredState,
  encodeEnvelope,
  encodeRoot,
  eraAfter,
  type DeployEra,
  markOf,
  maxEnvelopeBytes,
  type RootDocument,
  signersForImage,
  signersOf,
  trustedInEra,
  type TrustedVersion,
} from '../../../src/wire/trust/index.ts';
import { examineMessage, examineRoot, signatureVerifier } from '../../../src/wire/trust/openpgp.ts';
import { signDetached, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';
import { day, desired, issued, makeKey, publish } from '../../support/operator.ts';
import { publishRoot, role, rootOf } from '../../support/roots.ts';

/**
 * The broker is hostile and one key may be stolen. One test per attack of the TUF and Uptane lists
 * that a root of trust with roles and thresholds prevents. attacks.test.ts has those that a single
 * signature prevents.
 */

let alice: GeneratedKey;
let bob: GeneratedKey;
let carol: GeneratedKey;
let daily: GeneratedKey;
let weekly: GeneratedKey;
let builder: GeneratedKey;
let attacker: GeneratedKey;
let all: readonly GeneratedKey[];
let roles: RootDocument['roles'];
/** Root 1: two of three for roots, two of two for commands. */
let first: RootDocument;

beforeAll(async () => {
  const names = ['alice', 'bob', 'carol', 'daily', 'weekly', 'builder', 'attacker'];
  all = await Promise.all(names.map(makeKey));
  [alice, bob, carol, daily, weekly, builder, attacker] = all as [
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
  ];
  roles = { root: role(2, alice, bob, carol), deploy: role(2, daily, weekly), images: role(1, builder) };
  first = rootOf(roles, all);
});

const now = { nowSeconds: issued + day, clockTrusted: true };

/** A device that stores what it trusts, as the daemon does. */
function openDevice(time = now, trustedRoot: RootDocument = first) {
  let trusted: { document: RootDocument; era?: DeployEra } = { document: trustedRoot };
  let version: TrustedVersion = { version: 0, payloadSha256: '', issued: 0 };
  const codeOf = (error: unknown): string => {
    if (isRefusal(error)) return error.code;
    throw error;
  };
  return {
    get root(): number {
      return trusted.document.version;
    },
    get version(): number {
      return version.version;
    },
    async takeRoot(message: Uint8Array): Promise<string> {
      try {
        const examined = await examineRoot(message, { trusted: trusted.document, fleet: 'farm', time });
        const era = eraAfter(examined.root, trusted);
        if (examined.outcome === 'new')
          trusted = { document: examined.root, ...(era === undefined ? {} : { era }) };
        return examined.outcome;
      } catch (error) {
        return codeOf(error);
      }
    },
    async take(message: Uint8Array): Promise<string> {
      const { document, era } = trusted;
      const before = trustedInEra(version, era);
      try {
        const examined = await examineMessage(message, {
          ...signersOf(document, 'deploy'),
          fleet: 'farm',
          device: 'pump-1',
          trusted: before,
          time,
          root: {
            version: document.version,
            expires: document.expires,
            ...(era === undefined ? {} : { notBefore: era.issued }),
          },
        });
        if (examined.outcome === 'new') version = markOf(examined.desired, examined.payloadSha256, before);
        return examined.outcome;
      } catch (error) {
        return codeOf(error);
      }
    },
  };
}

const second = (change: Partial<RootDocument> = {}): RootDocument => ({ ...first, version: 2, ...change });

describe('attacks on the root of trust', () => {
  it('[C80] a root follows when the thresholds of the root before and of its own have signed', async () => {
    const device = openDevice();
    const next = rootOf({ ...roles, root: role(2, carol, attacker) }, all, { version: 2 });
    expect(await device.takeRoot(await publishRoot(next, alice, carol, attacker))).toBe('new');
    expect(device.root).toBe(2);
  });

  it('arbitrary software: a root of unknown signers is not decoded', async () => {
    const device = openDevice();
    const mine = rootOf({ root: role(1, attacker), deploy: role(1, attacker) }, all, { version: 2 });
    expect(await device.takeRoot(await publishRoot(mine, attacker))).toBe('key-unknown');
    const rubbish = Buffer.from('this is no root');
    const signature = await signDetached(rubbish, attacker.privateKey, issued);
    expect(await device.takeRoot(encodeEnvelope({ payload: rubbish, signatures: [signature] }))).toBe(
      'key-unknown',
    );
    expect(device.root).toBe(1);
  });

  it('[C80] key compromise: one stolen root key cannot make a root (threshold not met)', async () => {
    const device = openDevice();
    const mine = rootOf({ root: role(1, attacker), deploy: role(1, attacker) }, all, { version: 2 });
    expect(await device.takeRoot(await publishRoot(mine, alice, attacker))).toBe('threshold-not-met');
  });

  it('[C80] key compromise: the keys of the old root alone cannot replace themselves', async () => {
    const device = openDevice();
    const mine = rootOf({ ...roles, root: role(2, daily, attacker) }, all, { version: 2 });
    expect(await device.takeRoot(await publishRoot(mine, alice, bob, attacker))).toBe('threshold-not-met');
    expect(await device.takeRoot(await publishRoot(mine, alice, bob))).toBe('key-unknown');
  });

  it('the same key counted twice: two signatures of one key are one', async () => {
    const device = openDevice();
    expect(await device.takeRoot(await publishRoot(second(), alice, alice))).toBe('threshold-not-met');
    expect(await device.take(await publish(desired, daily, daily))).toBe('threshold-not-met');
  });

  it('key of another role: a deploy key cannot sign a root, nor a root or image key a command', async () => {
    const device = openDevice();
    expect(await device.takeRoot(await publishRoot(second(), daily, weekly))).toBe('key-unknown');
    expect(await device.takeRoot(await publishRoot(second(), alice, daily))).toBe('threshold-not-met');
    expect(await device.take(await publish(desired, alice, bob))).toBe('key-unknown');
    expect(await device.take(await publish(desired, daily, builder))).toBe('threshold-not-met');
    expect(await device.take(await publish(desired, daily, weekly))).toBe('new');
  });

  it('[C81] rollback (TUF §5.3.5): an old root that is replayed is refused', async () => {
    const device = openDevice();
    const old = await publishRoot(first, alice, bob);
    expect(await device.takeRoot(old)).toBe('same');
    expect(await device.takeRoot(await publishRoot(second(), alice, bob))).toBe('new');
    expect(await device.takeRoot(old)).toBe('root-older');
    expect(device.root).toBe(2);
  });

  it('[C81] mix-and-match: a version of the root has one content', async () => {
    const device = openDevice();
    const other = { ...first, expires: first.expires + 1 };
    expect(await device.takeRoot(await publishRoot(other, alice, bob))).toBe('root-conflict');
  });

  it('[C81] fast-forward: a version that skips others is refused, whatever its number', async () => {
    const device = openDevice();
    for (const version of [3, Number.MAX_SAFE_INTEGER]) {
      expect(await device.takeRoot(await publishRoot(second({ version }), alice, bob))).toBe('root-skipped');
    }
    expect(device.root).toBe(1);
  });

  it('[C84] fast-forward (TUF §5.3.11): a root that removes the stolen deploy key restarts versions', async () => {
    const device = openDevice(now, rootOf({ ...roles, deploy: role(1, daily, weekly) }, all));
    const before = await publish({ ...desired, version: 8 }, weekly);
    const last = { ...desired, version: Number.MAX_SAFE_INTEGER };
    expect(await device.take(await publish(last, daily))).toBe('new');
    expect(await device.take(before)).toBe('version-older');
    const next = rootOf({ ...roles, deploy: role(1, weekly) }, all, { version: 2, issued: issued + 60 });
    expect(await device.takeRoot(await publishRoot(next, alice, bob))).toBe('new');
    // A command issued before the root is still refused, whichever key signed it. A later one
    // counts.
    expect(await device.take(before)).toBe('version-older');
    expect(await device.take(await publish(last, daily))).toBe('key-unknown');
    expect(await device.take(await publish({ ...desired, version: 9, issued: issued + 61 }, weekly))).toBe(
      'new',
    );
    expect(device.version).toBe(9);
    expect(await device.take(await publish({ ...desired, version: 8, issued: issued + 61 }, weekly))).toBe(
      'version-older',
    );
  });

  it('[C84] a running version is not deployed again when versions restart', async () => {
    const device = openDevice(now, rootOf({ ...roles, deploy: role(1, daily, weekly) }, all));
    const running = await publish(desired, weekly);
    expect(await device.take(running)).toBe('new');
    const next = rootOf({ ...roles, deploy: role(1, weekly) }, all, { version: 2, issued: issued + 60 });
    expect(await device.takeRoot(await publishRoot(next, alice, bob))).toBe('new');
    expect(await device.take(running)).toBe('same');
  });

  it('[C82] freeze: an expired root accepts no new command, though a newer root is held back', async () => {
    const short = { ...first, expires: issued + 10 * day };
    const late = { nowSeconds: short.expires, clockTrusted: true };
    const command = await publish(desired, daily, weekly);
    expect(await openDevice(late, short).take(command)).toBe('root-expired');
    // A newer root still counts, also one that has expired on the way to the newest.
    const device = openDevice(late, short);
    expect(await device.takeRoot(await publishRoot({ ...short, version: 2 }, alice, bob))).toBe('new');
    expect(await device.takeRoot(await publishRoot({ ...first, version: 3 }, alice, bob))).toBe('new');
    expect(await device.take(command)).toBe('new');
  });

  it('[C82] freeze: a board that boots in 1970 does not treat its root as expired', async () => {
    const short = { ...first, expires: issued + 10 * day };
    const asleep = { nowSeconds: short.expires, clockTrusted: false };
    expect(await openDevice(asleep, short).take(await publish(desired, daily, weekly))).toBe('new');
  });

  it('wrong software: the root of another fleet is refused, though the same people signed it', async () => {
    const device = openDevice();
    const barn = second({ fleet: parseAcName('barn') });
    expect(await device.takeRoot(await publishRoot(barn, alice, bob))).toBe('wrong-fleet');
  });

  it('arbitrary software: a command is not a root, and a root not a command', async () => {
    const device = openDevice();
    const payload = encodeDesiredState(desired);
    const signatures = await Promise.all(
      [alice, bob].map(({ privateKey }) => signDetached(payload, privateKey, issued)),
    );
    expect(await device.takeRoot(encodeEnvelope({ payload, signatures }))).toBe('root-malformed');
    expect(await device.take(await publishRoot(second(), daily, weekly))).toBe('desired-malformed');
  });

  it('endless data: the size of a root is checked first', async () => {
    const device = openDevice();
    expect(await device.takeRoot(new Uint8Array(1 << 20).fill(0x41))).toBe('envelope-too-large');
    expect(await device.takeRoot(new Uint8Array(maxEnvelopeBytes).fill(0x9b))).toBe('envelope-malformed');
  });

  it('an unsigned root is refused', async () => {
    const { payload } = decodeEnvelope(await publishRoot(second(), alice));
    const unsigned = encodeCbor({ format: 1, payload, signatures: [] });
    expect(await openDevice().takeRoot(unsigned)).toBe('unsigned');
  });

  it('malformed: a certificate under the fingerprint of another is refused, though the keys signed it', async () => {
    const device = openDevice();
    const swapped = second({ keys: { ...first.keys, [daily.fingerprint]: attacker.publicKey } });
    expect(await device.takeRoot(await publishRoot(swapped, alice, bob))).toBe('root-malformed');
    const doubled = { ...first.keys, [daily.fingerprint]: daily.publicKey + attacker.publicKey };
    expect(await device.takeRoot(await publishRoot(second({ keys: doubled }), alice, bob))).toBe(
      'root-malformed',
    );
    const isPrivate = { ...first.keys, [daily.fingerprint]: daily.privateKey };
    expect(await device.takeRoot(await publishRoot(second({ keys: isPrivate }), alice, bob))).toBe(
      'root-malformed',
    );
  });

  const wrong: readonly [string, (root: RootDocument) => unknown, RegExp][] = [
    ['without the role root', (root) => ({ ...root, roles: { deploy: root.roles['deploy'] } }), /role root/],
    ['without the role deploy', (root) => ({ ...root, roles: { root: root.roles['root'] } }), /role deploy/],
    ['with a role of another name', (root) => ({ ...root, roles: { ...root.roles, admin: role(1, alice) } }), /admin/],
    ['with an invalid prefix', (root) => ({ ...root, roles: { ...root.roles, 'images/A b': role(1, alice) } }), /images\/A b/],
    ['with a key twice in a role', (root) => ({ ...root, roles: { ...root.roles, root: role(2, alice, alice) } }), /twice/],
    ['with a threshold of 0', (root) => ({ ...root, roles: { ...root.roles, root: role(0, alice) } }), /threshold/],
    ['with a threshold above the number of keys', (root) => ({ ...root, roles: { ...root.roles, root: role(2, alice) } }), /threshold is 2, and there are 1/],
    ['with a key without its certificate', (root) => ({ ...root, roles: { ...root.roles, root: role(1, attacker) } }), /certificate of key/],
    ['with an unknown key of the map', (root) => ({ ...root, more: 1 }), /more/],
    ['of version 0', (root) => ({ ...root, version: 0 }), /version/],
    ['that expires before it is issued', (root) => ({ ...root, expires: root.issued }), /expires before/],
    ['with an invalid fingerprint', (root) => ({ ...root, keys: { ...root.keys, AB: '' } }), /fingerprint/],
  ]; // prettier-ignore
  it.each(wrong)('malformed: a root is not encoded %s', (_name, change, reason) => {
    expect(() => encodeRoot(change(first) as RootDocument)).toThrow(
      expect.objectContaining({ code: 'root-malformed', message: expect.stringMatching(reason) as string }),
    );
  });
});

describe('the role of an image', () => {
  it('[C83] is only the most specific one that matches', () => {
    const deep = rootOf(
      { ...roles, 'images/example.com': role(1, bob), 'images/example.com/pay': role(2, bob, carol) },
      all,
    );
    const of = (name: string) => signersForImage(deep, parseAcIdentifier(name));
    expect(of('example.com/pay/web')).toEqual({ keys: [bob.publicKey, carol.publicKey], threshold: 2 });
    expect(of('example.com/pay')).toMatchObject({ threshold: 2 });
    expect(of('example.com/payment')).toEqual({ keys: [bob.publicKey], threshold: 1 });
    expect(of('example.org')).toEqual({ keys: [builder.publicKey], threshold: 1 });
    const none = rootOf({ root: role(1, alice), deploy: role(1, alice) }, all);
    expect(signersForImage(none, parseAcIdentifier('example.org'))).toEqual({ keys: [], threshold: 1 });
  });
});

describe('the signatures of an image', () => {
  const bytes = Buffer.from('an image');
  const verdict = async (
    keys: readonly GeneratedKey[],
    threshold: number,
    signers: readonly GeneratedKey[],
  ) => {
    const signed = signers.map(({ privateKey }) => signDetached(bytes, privateKey, issued));
    const texts = (await Promise.all(signed)).join('');
    try {
      const certificates = keys.map(({ publicKey }) => publicKey);
      const verifier = await signatureVerifier(texts, certificates, now, [], threshold);
      verifier.update(bytes);
      return (await verifier.finish()).fingerprint;
    } catch (error) {
      if (isRefusal(error)) return error.code;
      throw error;
    }
  };

  it('[C83] are at least as many as the threshold of its role, by different keys', async () => {
    const both = await verdict([alice, bob], 2, [alice, bob]);
    expect(both.split(' ').sort()).toEqual([alice.fingerprint, bob.fingerprint].sort());
    expect(await verdict([alice, bob], 1, [attacker, bob])).toBe(bob.fingerprint);
    expect(await verdict([alice, bob], 2, [alice])).toBe('image-threshold-not-met');
    expect(await verdict([alice, bob], 2, [alice, alice])).toBe('image-threshold-not-met');
    expect(await verdict([alice, bob], 2, [alice, attacker])).toBe('image-threshold-not-met');
    expect(await verdict([alice, bob], 1, [attacker])).toBe('image-key-untrusted');
    expect(await verdict([alice], 1, Array<GeneratedKey>(9).fill(alice))).toBe('image-signature-invalid');
  });

  it('[C83] are too few before a byte of the image is fetched', async () => {
    const signature = await signDetached(bytes, alice.privateKey, issued);
    const certificates = [alice.publicKey, bob.publicKey];
    await expect(signatureVerifier(signature, certificates, now, [], 2)).rejects.toMatchObject({
      code: 'image-threshold-not-met',
    });
  });
});

describe('keys of GnuPG', () => {
  let gpg: GnuPg;
  beforeAll(() => {
    gpg = openGnuPg();
  });
  afterAll(() => gpg.close());

  it('the same key counted twice: two signing subkeys of one certificate are one signer', async () => {
    const at = '20260501T000000';
    const one = gpg.newKey('one', 'ed25519', { at });
    const two = gpg.newKey('two', 'ed25519', { at });
    for (let made = 0; made < 2; made += 1) {
      gpg.run([
        '--faked-system-time',
        `${at}!`,
        '--passphrase',
        '',
        '--quick-add-key',
        one,
        'ed25519',
        'sign',
        'never',
      ]);
    }
    const listing = gpg.run(['--with-colons', '--with-subkey-fingerprint', '--list-keys', one]).stdout;
    const fingerprints = [...listing.matchAll(/^fpr:{9}([0-9A-F]{40}):/gm)].map(([, hex = '']) => hex);
    expect(fingerprints).toHaveLength(3);
    const asKey = (hex: string): GeneratedKey => ({
      privateKey: '',
      publicKey: gpg.export(hex),
      fingerprint: hex.toLowerCase(),
    });
    const two1 = { root: role(2, asKey(one), asKey(two)), deploy: role(1, asKey(one)) };
    const trusted = rootOf(two1, [asKey(one), asKey(two)]);
    const payload = encodeRoot({ ...trusted, version: 2 });
    const sign = (hex: string) => gpg.sign(payload, hex, '--faked-system-time', '20260601T000000!');
    const device = openDevice(now, trusted);
    const [primary = '', subkey = '', other = ''] = fingerprints;
    const subkeys = [primary, subkey, other].map(sign);
    expect(await device.takeRoot(encodeEnvelope({ payload, signatures: subkeys }))).toBe('threshold-not-met');
    const both = [sign(subkey), sign(two)];
    expect(await device.takeRoot(encodeEnvelope({ payload, signatures: both }))).toBe('new');
  });

  it('[C307] a root issued ahead of a trusted clock, signed now, is not trusted', async () => {
    const trusted = rootOf({ root: role(1, bob), deploy: role(1, bob) }, [bob]);
    const payload = encodeRoot({ ...trusted, version: 2, issued: now.nowSeconds + 601, expires: 9e9 });
    const message = encodeEnvelope({
      payload,
      signatures: [await signDetached(payload, bob.privateKey, issued)],
    });
    expect(await openDevice(now, trusted).takeRoot(message)).toBe('key-unusable');
    expect(await openDevice({ ...now, clockTrusted: false }, trusted).takeRoot(message)).toBe('new');
  });

  it('key compromise: a key revoked on the device no longer counts towards a threshold', async () => {
    const one = gpg.newKey('three', 'ed25519', { at: '20260501T000000' });
    const trusted = rootOf(
      { root: { keys: [one.toLowerCase(), bob.fingerprint], threshold: 2 }, deploy: role(1, bob) },
      [bob, { privateKey: '', publicKey: gpg.export(one), fingerprint: one.toLowerCase() }],
    );
    const payload = encodeRoot({ ...trusted, version: 2 });
    const signatures = [
      gpg.sign(payload, one, '--faked-system-time', '20260601T000000!'),
      await signDetached(payload, bob.privateKey, issued),
    ];
    const message = encodeEnvelope({ payload, signatures });
    const context = { trusted, fleet: 'farm', time: now };
    await expect(examineRoot(message, context)).resolves.toMatchObject({ outcome: 'new' });
    gpg.revoke(one);
    await expect(examineRoot(message, { ...context, copies: [gpg.export(one)] })).rejects.toMatchObject({
      code: 'threshold-not-met',
      message: expect.stringMatching(/revoked/) as string,
    });
  });
});
