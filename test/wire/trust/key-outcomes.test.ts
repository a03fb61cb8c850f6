import * as openpgp from 'openpgp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { isMismatch, refuseMissingPart, whyKeyFails } from '../../../src/wire/trust/library-outcomes.ts';
import {
  readKeys,
  reviewKeys,
  signatureVerifier,
  verifyEnvelope,
  whyNotKeys,
} from '../../../src/wire/trust/openpgp.ts';
import { signDetached } from '../../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';

const data = Buffer.from('a command');
const now = Math.floor(Date.now() / 1000);

let gpg: GnuPg;
beforeAll(() => {
  gpg = openGnuPg();
});
afterAll(() => gpg.close());

const secretOf = (fingerprint: string): string =>
  gpg.run(['--armor', '--export-secret-keys', fingerprint]).stdout;

/** "code: message" of the refusal, or "accepted". */
async function outcomeOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return 'accepted';
  } catch (error) {
    if (isRefusal(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

function addSubkey(primary: string, algorithm: string): string {
  gpg.run(['--passphrase', '', '--quick-add-key', primary, algorithm, 'sign', 'never']);
  const listing = gpg.run(['--with-colons', '--list-keys', primary]).stdout;
  return [...listing.matchAll(/^fpr:+([0-9A-F]{40}):$/gm)].at(-1)?.[1] ?? '';
}

/** A key made by the library. */
async function made(
  options: Partial<Parameters<typeof openpgp.generateKey>[0]>,
): Promise<{ privateKey: string; publicKey: string }> {
  const date = new Date((now - 60) * 1000);
  return await openpgp.generateKey({ userIDs: [{ name: 'made' }], date, ...options, format: 'armored' });
}

describe('[A9.24] the signer refuses a key that devices refuse', () => {
  it.each<[string, () => Promise<string>, RegExp]>([
    [
      'RSA of 2048 bits',
      async () => (await made({ type: 'rsa', rsaBits: 2048 })).privateKey,
      /2048 bits is too weak/,
    ],
    [
      'Ed448',
      async () => (await made({ type: 'curve448' })).privateKey,
      /ed448 is too weak or not supported/,
    ],
    [
      'OpenPGP version 6',
      async () => (await made({ type: 'curve25519', config: { v6Keys: true } })).privateKey,
      /version 6; 4 is supported/,
    ],
    [
      'secp256k1',
      () => Promise.resolve(secretOf(gpg.newKey('signs with k1', 'secp256k1'))),
      /secp256k1 is too weak/,
    ],
    [
      'expired',
      () =>
        Promise.resolve(
          secretOf(gpg.newKey('signs late', 'ed25519', { at: '20200101T000000', expires: '1y' })),
        ),
      /it has expired/,
    ],
    [
      'for certification only',
      () => Promise.resolve(secretOf(gpg.newKey('never signs', 'ed25519', { usage: 'cert' }))),
      /it may not sign/,
    ],
    [
      'revoked',
      () => {
        const key = gpg.newKey('signs no more', 'ed25519');
        gpg.revoke(key);
        return Promise.resolve(secretOf(key));
      },
      /it is revoked/,
    ],
  ])('%s', async (_kind, produce, sentence) => {
    const outcome = await outcomeOf(signDetached(data, await produce(), now + 60));
    expect(outcome).toMatch(/^input-invalid: the key [0-9a-f]+ cannot sign now: /);
    expect(outcome).toMatch(sentence);
  });

  it('also when only its public copy is revoked', async () => {
    const key = gpg.newKey('revoked later', 'ed25519');
    const secret = secretOf(key);
    expect(await outcomeOf(signDetached(data, secret, now + 60, [gpg.export(key)]))).toBe('accepted');
    gpg.revoke(key);
    expect(await outcomeOf(signDetached(data, secret, now + 60, [gpg.export(key)]))).toMatch(/it is revoked/);
  });

  it('and signs with the strong key when the newest subkey is weak', async () => {
    const key = gpg.newKey('strong over weak', 'ed25519');
    addSubkey(key, 'rsa2048');
    const at = now + 60;
    const signature = await signDetached(data, secretOf(key), at);
    expect(
      await outcomeOf(
        verifyEnvelope(data, [signature], [gpg.export(key)], { nowSeconds: at, clockTrusted: true }),
      ),
    ).toBe('accepted');
  });

  it('and signs with an Ed25519 key as RFC 9580 encodes it', async () => {
    const { privateKey, publicKey } = await made({ type: 'curve25519' });
    const at = { nowSeconds: now + 60, clockTrusted: true };
    const signature = await signDetached(data, privateKey, at.nowSeconds);
    expect(await outcomeOf(verifyEnvelope(data, [signature], [publicKey], at))).toBe('accepted');
  });

  it('and signs with a subkey without its primary key', async () => {
    const key = gpg.newKey('offline', 'ed25519', { usage: 'cert' });
    addSubkey(key, 'ed25519');
    const subkeys = gpg.run(['--armor', '--export-secret-subkeys', key]).stdout;
    const at = now + 60;
    const signature = await signDetached(data, subkeys, at);
    expect(
      await outcomeOf(
        verifyEnvelope(data, [signature], [gpg.export(key)], { nowSeconds: at, clockTrusted: true }),
      ),
    ).toBe('accepted');
  });

  it('and reports that the secret of the signing part is missing', async () => {
    const key = gpg.newKey('only the wrong half', 'ed25519');
    gpg.run(['--passphrase', '', '--quick-add-key', key, 'cv25519', 'encr', 'never']);
    const subkeys = gpg.run(['--armor', '--export-secret-subkeys', key]).stdout;
    expect(await outcomeOf(signDetached(data, subkeys, now + 60))).toMatch(
      /the file does not have the secret of the part that may sign/,
    );
  });
});

describe('[A9.24] store and verifier agree', () => {
  it.each<[string, () => { signature: string; armored: string }]>([
    [
      'on a strong key with a weak signing subkey',
      () => {
        const key = gpg.newKey('weak subkey', 'ed25519');
        addSubkey(key, 'rsa2048');
        return { signature: gpg.sign(data, key), armored: gpg.export(key) };
      },
    ],
    [
      'on a key whose newest signing subkey was revoked',
      () => {
        const key = gpg.newKey('gone subkey', 'ed25519');
        addSubkey(key, 'ed25519');
        const edit = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
        gpg.run([...edit, '--edit-key', key], 'key 1\nrevkey\ny\n1\n\ny\nsave\n');
        return { signature: gpg.sign(data, key), armored: gpg.export(key) };
      },
    ],
    [
      'on a certifying key with an older strong and a newer weak subkey',
      () => {
        const key = gpg.newKey('two subkeys', 'ed25519', { usage: 'cert' });
        const strong = addSubkey(key, 'ed25519');
        addSubkey(key, 'rsa2048');
        return { signature: gpg.sign(data, strong), armored: gpg.export(key) };
      },
    ],
  ])('%s', async (_what, produce) => {
    const { signature, armored } = produce();
    expect(
      await outcomeOf(verifyEnvelope(data, [signature], [armored], { nowSeconds: now, clockTrusted: true })),
    ).toBe('accepted');
    expect((await reviewKeys(armored, { nowSeconds: now, clockTrusted: false })).usable).toHaveLength(1);
  });
});

describe("[A9.25] a fault of a key is reported in wherry's own words", () => {
  const reasonOf = async (armored: string): Promise<string | undefined> =>
    (await readKeys([armored], { nowSeconds: now, clockTrusted: true })).unusable[0]?.reason;

  it.each([
    ['ed25519', 'a signature on it uses a hash that is too weak; renew it with gpg --quick-set-expire'],
    ['rsa3072', 'a signature on it uses RIPEMD, which is too weak; renew it with gpg --quick-set-expire'],
  ])('a self-signature of %s with a hash that is too weak', async (algorithm, sentence) => {
    const key = gpg.newKey(`ripemd ${algorithm}`, algorithm);
    const weak = ['--cert-digest-algo', 'RIPEMD160', '--digest-algo', 'RIPEMD160'];
    gpg.run([...weak, '--passphrase', '', '--quick-set-expire', key, '1y']);
    const minimal = gpg.run(['--armor', '--export-options', 'export-minimal', '--export', key]).stdout;
    expect(await reasonOf(minimal)).toBe(sentence);
  });

  it('a self-signature with a critical notation that is not known', async () => {
    const options = ['--cert-notation', '!mood@example.com=good', '--passphrase', ''];
    gpg.run([...options, '--quick-gen-key', 'noted', 'ed25519', 'sign', 'never']);
    const armored = gpg.run(['--armor', '--export', 'noted']).stdout;
    expect(await reasonOf(armored)).toBe(
      'a signature on it has the critical notation mood@example.com, which wherry does not know',
    );
  });

  it('no user ID, as keyservers hand out keys', async () => {
    const key = await openpgp.readKey({ armoredKey: gpg.export(gpg.newKey('nameless', 'ed25519')) });
    key.users = [];
    expect(await reasonOf(key.armor())).toBe('it has no user ID; export it again where it was made');
  });

  it('a user ID without the signature over it', async () => {
    const key = await openpgp.readKey({ armoredKey: gpg.export(gpg.newKey('unsigned', 'ed25519')) });
    for (const user of key.users) user.selfCertifications = [];
    expect(await reasonOf(key.armor())).toBe('it has no self-signature; export it again where it was made');
  });

  it('an algorithm that the library cannot read', async () => {
    const armored = gpg.export(gpg.newKey('odd', 'ed25519'));
    const { data: bytes } = (await openpgp.unarmor(armored)) as unknown as { data: Uint8Array };
    const odd = Buffer.from(bytes);
    odd[7] = 99; // RFC 9580 §5.5.2: head 2, version 1, time 4, then the algorithm
    expect(await reasonOf(openpgp.armor(openpgp.enums.armor.publicKey, odd))).toMatch(
      /^it cannot be read as an OpenPGP key/,
    );
  });

  it('[A9.25] a signature with a critical notation is malformed, not one over other bytes', async () => {
    const key = gpg.newKey('notes data', 'ed25519');
    const signature = gpg.sign(data, key, '--sig-notation', '!mood@example.com=good');
    expect(
      await outcomeOf(
        verifyEnvelope(data, [signature], [gpg.export(key)], { nowSeconds: now + 60, clockTrusted: true }),
      ),
    ).toBe(
      'signature-malformed: the signature has the critical notation mood@example.com, which wherry does not know',
    );
    const verifier = await signatureVerifier(signature, [gpg.export(key)], {
      nowSeconds: now + 60,
      clockTrusted: true,
    });
    verifier.update(data);
    expect(await outcomeOf(verifier.finish())).toMatch(/^image-signature-invalid: .* critical notation/);
  });

  it('a module of the library that cannot be loaded is a fault of the installation', async () => {
    const missing: unknown = await import(['./no-such-module', 'ts'].join('.')).catch(
      (error: unknown) => error,
    );
    const wrapped = new Error('Could not find valid self-signature', { cause: missing });
    for (const error of [
      missing,
      wrapped,
      new Error('elliptic curves is not part of this build of wherry'),
    ]) {
      expect(() => refuseMissingPart(error)).toThrow(/install wherry again/);
      expect(() => whyKeyFails(error)).toThrow(/install wherry again/);
    }
    expect(isMismatch(missing)).toBe(false);
  });

  it('an unknown message of the library is passed on without control characters', () => {
    expect(whyKeyFails(new Error('odd\u001b[31m'))).toBe('the OpenPGP library refuses it: odd?[31m');
  });
});

describe('[A9.25] a file that is not a key', () => {
  it.each<[string, () => string, RegExp]>([
    ['is binary', () => gpg.run(['--export', gpg.newKey('bin', 'ed25519')]).stdout, /gpg --armor --export/],
    ['is a private key', () => secretOf(gpg.newKey('priv', 'ed25519')), /private key/],
    ['is a signature', () => gpg.sign(data, gpg.newKey('sig', 'ed25519')), /cannot be read/],
  ])('that %s is named in the refusal of a command', async (_what, produce, reason) => {
    const text = produce();
    expect(await whyNotKeys(text)).toMatch(reason);
    const key = gpg.newKey(`asks ${_what}`, 'ed25519');
    const outcome = await outcomeOf(
      verifyEnvelope(data, [gpg.sign(data, key)], [text], { nowSeconds: now, clockTrusted: true }),
    );
    expect(outcome).toMatch(/^key-unknown: .*; a file of keys is not used: /);
    expect(outcome).toMatch(reason);
  });

  it('is not one that holds a key, or a revocation certificate', async () => {
    const key = gpg.newKey('is one', 'ed25519');
    expect(await whyNotKeys(gpg.export(key))).toBe(undefined);
    gpg.revoke(key);
    expect(await whyNotKeys(gpg.export(key))).toBe(undefined);
  });
});
