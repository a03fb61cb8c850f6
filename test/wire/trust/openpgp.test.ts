import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import * as openpgp from 'openpgp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import type { RefusalCode } from '../../../src/core/refusal/codes.ts';
import { readKeys } from '../../../src/wire/trust/keys.ts';
import { signatureVerifier } from '../../../src/wire/trust/image-signature.ts';
import { verifyEnvelope } from '../../../src/wire/trust/command-signature.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';

const data = Buffer.from('the exact bytes\r\n\0of a payload\n');
const now = Math.floor(Date.now() / 1000);
const time = { nowSeconds: now, clockTrusted: true };
const year = 365 * 86_400;

/** The code of the refusal, or "accepted". */
async function refusalOf(action: Promise<unknown>): Promise<RefusalCode | 'accepted'> {
  try {
    await action;
    return 'accepted';
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

interface Signer {
  readonly fingerprint: string;
  readonly publicKey: string;
}

let gpg: GnuPg;
const made: Record<string, Signer> = {};

function maker(name: string): Signer {
  const signer = made[name];
  if (signer === undefined) throw new Error(`no key ${name}`);
  return signer;
}

function make(name: string, algorithm: string, options?: Parameters<GnuPg['newKey']>[2]): void {
  const fingerprint = gpg.newKey(`${name} <${name}@example.com>`, algorithm, options);
  made[name] = { fingerprint, publicKey: gpg.export(fingerprint) };
}

beforeAll(() => {
  gpg = openGnuPg();
  make('ed25519', 'ed25519');
  make('other', 'ed25519');
  make('p256', 'nistp256');
  make('p384', 'nistp384');
  make('p521', 'nistp521');
  make('rsa3072', 'rsa3072');
  make('rsa2048', 'rsa2048');
  make('brainpool', 'brainpoolP256r1');
  make('expired', 'ed25519', { at: '20200101T000000', expires: '1y' });
  make('future', 'ed25519', { at: '20900101T000000' });
  make('revoked', 'ed25519');
});

afterAll(() => gpg.close());

describe('[A9.4] signatures that GnuPG made', () => {
  it.each([
    ['ed25519', 'SHA256'],
    ['ed25519', 'SHA384'],
    ['ed25519', 'SHA512'],
    ['p256', 'SHA256'],
    ['p384', 'SHA384'],
    ['p521', 'SHA512'],
    ['rsa3072', 'SHA256'],
    ['rsa3072', 'SHA512'],
  ])('of %s with %s are accepted, and refused over other bytes', async (name, digest) => {
    const { publicKey, fingerprint } = maker(name);
    const signature = gpg.sign(data, fingerprint, '--digest-algo', digest);
    const verified = await verifyEnvelope(data, [signature], [publicKey], time);
    expect(verified.fingerprints).toEqual([fingerprint.toLowerCase()]);
    const flipped = Uint8Array.from(data);
    flipped[3] = (flipped[3] ?? 0) ^ 1;
    expect(await refusalOf(verifyEnvelope(flipped, [signature], [publicKey], time))).toBe(
      'signature-invalid',
    );
    expect(await refusalOf(verifyEnvelope(data.subarray(1), [signature], [publicKey], time))).toBe(
      'signature-invalid',
    );
  });

  it('[A9.10] of a signing subkey count for its primary key', async () => {
    const primary = gpg.newKey('with subkey', 'ed25519', { usage: 'cert' });
    gpg.run(['--passphrase', '', '--quick-add-key', primary, 'ed25519', 'sign']);
    const subkey = /^fpr:+([0-9A-F]{40}):$/gm;
    const listing = gpg.run(['--with-colons', '--list-keys', primary]).stdout;
    const [, second] = [...listing.matchAll(subkey)].map((match) => match[1]);
    const signature = gpg.sign(data, second ?? '');
    const verified = await verifyEnvelope(data, [signature], [gpg.export(primary)], time);
    expect(verified.fingerprints).toEqual([primary.toLowerCase()]);
  });

  it('[A9.10] cannot be made by a key that may only certify, so it is not usable', async () => {
    const certifyOnly = gpg.newKey('certify only', 'ed25519', { usage: 'cert' });
    const { unusable } = await readKeys([gpg.export(certifyOnly)], time);
    expect(unusable.map((key) => key.fingerprint)).toEqual([certifyOnly.toLowerCase()]);
  });

  it('[A9.7] of a key whose expiry was extended later still count', async () => {
    const fingerprint = gpg.newKey('extended', 'ed25519', { at: '20200101T000000', expires: '1y' });
    const old = gpg.sign(data, fingerprint, '--faked-system-time', '20200601T000000!');
    expect(await refusalOf(verifyEnvelope(data, [old], [gpg.export(fingerprint)], time))).toBe(
      'key-unusable',
    );
    gpg.run(['--passphrase', '', '--quick-set-expire', fingerprint, '0']);
    expect(await refusalOf(verifyEnvelope(data, [old], [gpg.export(fingerprint)], time))).toBe('accepted');
  });

  it('[A9.14] are found among several keys in one text', async () => {
    const signature = gpg.sign(data, maker('p256').fingerprint);
    const keyring = `${maker('other').publicKey}\n${maker('p256').publicKey}`;
    expect(await refusalOf(verifyEnvelope(data, [signature], [keyring], time))).toBe('accepted');
  });
});

describe('a signature that does not count', () => {
  it.each<[string, RefusalCode]>([
    ['rsa2048', 'key-unusable'],
    ['brainpool', 'key-unusable'],
  ])('[A9.5] weak key: %s', async (name, code) => {
    const { publicKey, fingerprint } = maker(name);
    const signature = gpg.sign(data, fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe(code);
    expect(await refusalOf(signatureVerifier(signature, [publicKey], time))).toBe(code);
  });

  it('[A9.5] DSA key', async () => {
    const fingerprint = gpg.newKey('dsa', 'dsa2048');
    const signature = gpg.sign(data, fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [signature], [gpg.export(fingerprint)], time))).toBe(
      'key-unusable',
    );
  });

  it('[A9.7] [A9.12] expired key, also for a signature of the time when it was valid', async () => {
    const { publicKey, fingerprint } = maker('expired');
    const signature = gpg.sign(data, fingerprint, '--faked-system-time', '20200601T000000!');
    const verify = (at: number, clockTrusted: boolean): Promise<RefusalCode | 'accepted'> =>
      refusalOf(verifyEnvelope(data, [signature], [publicKey], { nowSeconds: at, clockTrusted }));
    expect(await verify(now, true)).toBe('key-unusable');
    expect(await verify(now, false)).toBe('key-unusable');
    expect(await verify(Date.UTC(2020, 7) / 1000, true)).toBe('accepted');
    // A board whose clock is in 1970 cannot know that the key has expired.
    expect(await verify(0, false)).toBe('accepted');
  });

  it('[A9.8] revoked key, whatever the clock says', async () => {
    const { publicKey, fingerprint } = maker('revoked');
    const signature = gpg.sign(data, fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe('accepted');
    gpg.revoke(fingerprint);
    const revoked = gpg.export(fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [signature], [revoked], time))).toBe('key-unusable');
    expect(
      await refusalOf(verifyEnvelope(data, [signature], [revoked], { nowSeconds: 0, clockTrusted: false })),
    ).toBe('key-unusable');
  });

  it('[A9.9] [A9.12] key that is not valid yet, unless the clock is not trusted', async () => {
    const { publicKey, fingerprint } = maker('future');
    const signature = gpg.sign(data, fingerprint, '--faked-system-time', '20900102T000000!');
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe('key-unusable');
    expect(
      await refusalOf(
        verifyEnvelope(data, [signature], [publicKey], { nowSeconds: now, clockTrusted: false }),
      ),
    ).toBe('accepted');
  });

  it('[A9.11] signature from the future, beyond the few minutes that clocks differ', async () => {
    const { publicKey, fingerprint } = maker('ed25519');
    const signature = gpg.sign(data, fingerprint, '--faked-system-time', '20900102T000000!');
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe('signature-invalid');
    const slightlyAhead = gpg.sign(data, fingerprint);
    expect(
      await refusalOf(
        verifyEnvelope(data, [slightlyAhead], [publicKey], { nowSeconds: now - 300, clockTrusted: true }),
      ),
    ).toBe('accepted');
  });

  it('[A9.11] signature that has expired', async () => {
    const { publicKey, fingerprint } = maker('ed25519');
    const signature = gpg.sign(data, fingerprint, '--default-sig-expire', '1d');
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe('accepted');
    expect(
      await refusalOf(
        verifyEnvelope(data, [signature], [publicKey], { nowSeconds: now + year, clockTrusted: true }),
      ),
    ).toBe('signature-invalid');
  });

  it('[A9.11] signature at the second of its expiry', async () => {
    const key = gpg.newKey('until', 'ed25519', { at: '20200101T000000' });
    const options = ['--faked-system-time', '20200601T000000!', '--default-sig-expire', '1d'];
    const signature = gpg.sign(data, key, ...options);
    const verify = (nowSeconds: number) =>
      refusalOf(verifyEnvelope(data, [signature], [gpg.export(key)], { nowSeconds, clockTrusted: true }));
    const end = Date.UTC(2020, 5, 2) / 1000;
    expect(await verify(end - 1)).toBe('accepted');
    expect(await verify(end)).toBe('signature-invalid');
  });

  it('[A9.13] signature of an unknown key', async () => {
    const signature = gpg.sign(data, maker('other').fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [signature], [maker('ed25519').publicKey], time))).toBe(
      'key-unknown',
    );
    expect(await refusalOf(verifyEnvelope(data, [signature], [], time))).toBe('key-unknown');
  });

  it('[A9.13] signature that names another key with the same key ID', async () => {
    const { publicKey, fingerprint } = maker('ed25519');
    const read = await openpgp.unarmor(gpg.sign(data, fingerprint));
    const body = Buffer.from(read.data as Uint8Array);
    // The key ID is the end of the fingerprint.
    const at = body.indexOf(Buffer.from(fingerprint, 'hex'));
    body[at] = (body[at] ?? 0) ^ 1;
    const signature = openpgp.armor(openpgp.enums.armor.signature, body);
    expect(await refusalOf(verifyEnvelope(data, [signature], [publicKey], time))).toBe('key-unknown');
  });

  it.each<[string, (fingerprint: string) => string]>([
    ['empty text', () => ''],
    ['noise', () => 'A'.repeat(500)],
    ['text mode (type 0x01)', (fpr) => gpg.sign(data, fpr, '--textmode')],
    [
      'binary, without armor',
      (fpr) => {
        const file = gpg.writeFile('unarmored', data);
        return gpg.run(['--local-user', `${fpr}!`, '--output', '-', '--detach-sign', file]).stdout;
      },
    ],
    ['SHA-224 [A9.6]', (fpr) => gpg.sign(data, fpr, '--digest-algo', 'SHA224')],
    ['SHA-1 [A9.6]', (fpr) => gpg.sign(data, fpr, '--digest-algo', 'SHA1')],
    ['RIPEMD-160 [A9.6]', (fpr) => gpg.sign(data, fpr, '--digest-algo', 'RIPEMD160')],
    ['a cleartext signature', (fpr) => gpg.run(['--local-user', fpr, '--clear-sign'], 'some text\n').stdout],
    [
      'a signed message that is not detached',
      (fpr) => gpg.run(['--local-user', fpr, '--armor', '--sign'], data).stdout,
    ],
    ['a public key', (fpr) => gpg.export(fpr)],
    ['two armored blocks', (fpr) => gpg.sign(data, fpr) + gpg.sign(data, fpr)],
    [
      'two signature packets in one block, one of which is good [A9.13]',
      (fpr) => gpg.sign(data, fpr, '--local-user', `${maker('p256').fingerprint}!`),
    ],
    ['a second first line', (fpr) => `-----BEGIN PGP SIGNATURE-----\n\n${gpg.sign(data, fpr)}`],
    ['a second last line', (fpr) => `${gpg.sign(data, fpr)}-----END PGP SIGNATURE-----\n`],
    ['text before the block', (fpr) => `hello\n${gpg.sign(data, fpr)}`],
    ['text behind the block', (fpr) => `${gpg.sign(data, fpr)}hello\n`],
    ['a truncated block', (fpr) => gpg.sign(data, fpr).slice(0, -40)],
    ['a damaged body', (fpr) => gpg.sign(data, fpr).replace(/\n\n[^\n]{40}/, `\n\n${'/'.repeat(40)}`)],
    ['a block of megabytes', (fpr) => gpg.sign(data, fpr).replace('\n\n', `\n\n${'\n'.repeat(1 << 20)}`)],
  ])('[A9.2] malformed: %s', async (_name, produce) => {
    const { publicKey, fingerprint } = maker('ed25519');
    const signature = produce(fingerprint);
    const keys = [publicKey, maker('p256').publicKey];
    expect(await refusalOf(verifyEnvelope(data, [signature], keys, time))).toBe('signature-malformed');
    const good = gpg.sign(data, fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [good, signature], keys, time))).toBe('signature-malformed');
    expect(await refusalOf(signatureVerifier(signature, keys, time))).toBe(
      signature === '' ? 'image-signature-missing' : 'image-signature-invalid',
    );
  });

  it('[A9.2] malformed: a signature of OpenPGP version 6', async () => {
    const { privateKey, publicKey } = await openpgp.generateKey({
      ...{ userIDs: [{ name: 'six' }], type: 'curve25519', format: 'object' },
      config: { v6Keys: true },
    });
    const message = await openpgp.createMessage({ binary: data });
    const signed: unknown = await openpgp.sign({ message, signingKeys: privateKey, detached: true });
    const signature = String(signed);
    const verified = verifyEnvelope(data, [signature], [publicKey.armor()], time);
    await expect(verified).rejects.toMatchObject({
      code: 'signature-malformed',
      message: expect.stringContaining('version 6; 4 is supported') as string,
    });
  });

  it('[A9.3] a flipped bit in the signed part or in the signature itself is refused', async () => {
    const { publicKey, fingerprint } = maker('ed25519');
    const lines = gpg.sign(data, fingerprint).trim().split('\n');
    const body = Buffer.from(
      lines
        .slice(2, -1)
        .filter((line) => !line.startsWith('='))
        .join(''),
      'base64',
    );
    // RFC 4880 §5.2.3: packet head 2 bytes, 4 fixed bytes, length and hashed subpackets, length and
    // unhashed subpackets (not signed: hints for finding the key), 2 bytes of the digest, two
    // numbers with 2 bytes of length.
    const hashedEnd = 8 + body.readUInt16BE(6);
    const digestStart = hashedEnd + 2 + body.readUInt16BE(hashedEnd);
    const numberBytes = (at: number) => Math.ceil(body.readUInt16BE(at) / 8); // a number may be short
    const firstNumber = digestStart + 4;
    const secondNumber = firstNumber + numberBytes(digestStart + 2) + 2;
    expect(secondNumber + numberBytes(secondNumber - 2)).toBe(body.length);
    const signedOrSignature = [...body.keys()].filter(
      (at) =>
        (at >= 2 && at < hashedEnd) ||
        (at >= digestStart && at < digestStart + 2) ||
        (at >= firstNumber && at < secondNumber - 2) ||
        at >= secondNumber,
    );
    for (const at of signedOrSignature) {
      const flipped = Buffer.from(body);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      const text = `-----BEGIN PGP SIGNATURE-----\n\n${flipped.toString('base64')}\n-----END PGP SIGNATURE-----\n`;
      expect(await refusalOf(verifyEnvelope(data, [text], [publicKey], time)), `byte ${at}`).not.toBe(
        'accepted',
      );
    }
  });
});

describe('[A9.13] several signatures', () => {
  it('name every trusted key that signed, once', async () => {
    const [a, b] = [maker('ed25519'), maker('p256')];
    const signatures = [
      gpg.sign(data, a.fingerprint),
      gpg.sign(data, b.fingerprint),
      gpg.sign(data, a.fingerprint),
    ];
    const { fingerprints } = await verifyEnvelope(data, signatures, [a.publicKey, b.publicKey], time);
    expect(fingerprints).toEqual([a.fingerprint.toLowerCase(), b.fingerprint.toLowerCase()]);
  });

  it('count when one is of a trusted key, else the nearest reason is reported', async () => {
    const [good, unknown, weak] = [maker('ed25519'), maker('other'), maker('rsa2048')];
    const of = (signer: Signer): string => gpg.sign(data, signer.fingerprint);
    const keys = [good.publicKey, weak.publicKey];
    expect(await refusalOf(verifyEnvelope(data, [of(unknown), of(weak), of(good)], keys, time))).toBe(
      'accepted',
    );
    expect(await refusalOf(verifyEnvelope(data, [of(unknown), of(weak)], keys, time))).toBe('key-unusable');
    const otherBytes = gpg.sign(Buffer.from('other'), good.fingerprint);
    expect(await refusalOf(verifyEnvelope(data, [of(unknown), otherBytes], keys, time))).toBe(
      'signature-invalid',
    );
    expect(await refusalOf(verifyEnvelope(data, [], keys, time))).toBe('unsigned');
  });
});

describe('[A9.3] the signature of an image', () => {
  const sizeBytes = 50 << 20;

  it.each(['ed25519', 'rsa3072', 'p256'])(
    'of 50 MB by %s is verified while the bytes stream by, without keeping them',
    async (name) => {
      const { publicKey, fingerprint } = maker(name);
      const content = Buffer.alloc(sizeBytes);
      for (let at = 0; at < sizeBytes; at += 4096) content.writeUInt32BE(at, at);
      const path = gpg.writeFile('image.aci', content);
      const signature = gpg.sign(path, fingerprint);
      const verifier = await signatureVerifier(signature, [publicKey], time);
      const tampered = await signatureVerifier(signature, [publicKey], time);
      const before = process.memoryUsage().arrayBuffers;
      let peak = before;
      const file = openSync(path, 'r');
      const chunk = Buffer.alloc(1 << 18);
      for (let length = readSync(file, chunk); length > 0; length = readSync(file, chunk)) {
        verifier.update(chunk.subarray(0, length));
        tampered.update(chunk.subarray(0, length));
        peak = Math.max(peak, process.memoryUsage().arrayBuffers);
      }
      closeSync(file);
      tampered.update(Uint8Array.of(0));
      expect(await verifier.finish()).toEqual({ fingerprint: fingerprint.toLowerCase() });
      expect(await refusalOf(tampered.finish())).toBe('image-signature-invalid');
      expect(peak - before).toBeLessThan(1 << 22);
      rmSync(path);
    },
  );

  it('[A9.19] by a key that is not trusted for it is refused before a byte is read', async () => {
    const signature = gpg.sign(data, maker('other').fingerprint);
    expect(await refusalOf(signatureVerifier(signature, [maker('ed25519').publicKey], time))).toBe(
      'image-key-untrusted',
    );
  });
});

describe('[A9.14] reading keys', () => {
  it('distinguishes usable keys from others, with the reason', async () => {
    const names = ['ed25519', 'rsa3072', 'p521', 'rsa2048', 'brainpool', 'expired', 'future'];
    const { usable, unusable } = await readKeys(
      [...names.map((name) => maker(name).publicKey), 'not a key'],
      time,
    );
    expect(usable.map((key) => [names[key.armoredIndex], key.algorithm])).toEqual([
      ['ed25519', 'eddsaLegacy ed25519Legacy'],
      ['rsa3072', 'rsaEncryptSign 3072'],
      ['p521', 'ecdsa nistP521'],
    ]);
    expect(usable[0]?.userIds).toEqual(['ed25519 <ed25519@example.com>']);
    const reasons = unusable.map((key) => [names[key.armoredIndex] ?? 'noise', key.reason]);
    expect(reasons).toEqual([
      ['rsa2048', expect.stringContaining('2048 bits is too weak')],
      ['brainpool', expect.stringContaining('too weak or not supported')],
      ['expired', expect.stringContaining('expired')],
      ['future', expect.stringContaining('not valid before 2090-01-01')],
      ['noise', expect.stringContaining('cannot be read')],
    ]);
  });

  it('refuses a private key, which does not belong on a device', async () => {
    const secret = gpg.run(['--armor', '--export-secret-keys', maker('ed25519').fingerprint]).stdout;
    const { usable, unusable } = await readKeys([secret], time);
    expect(usable).toEqual([]);
    expect(unusable[0]?.reason).toContain('private key');
  });
});
