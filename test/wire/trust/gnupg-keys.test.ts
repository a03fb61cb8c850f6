import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { readKeys } from '../../../src/wire/trust/keys.ts';
import { reviewKeys } from '../../../src/wire/trust/review.ts';
import { signatureVerifier } from '../../../src/wire/trust/image-signature.ts';
import { verifyEnvelope } from '../../../src/wire/trust/command-signature.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';

const data = Buffer.from('the bytes of an image');
const now = Math.floor(Date.now() / 1000);
const time = { nowSeconds: now, clockTrusted: true };

let gpg: GnuPg;
beforeAll(() => {
  gpg = openGnuPg();
});
afterAll(() => gpg.close());

/** The verdict on a signature, which must be one for image and command: the code, or "accepted". */
async function judged(
  signature: string,
  key: string,
  { at = now, clockTrusted = true }: { at?: number; clockTrusted?: boolean } = {},
): Promise<string> {
  const outcomes: string[] = [];
  const verifyImage = async (): Promise<unknown> => {
    const verifier = await signatureVerifier(signature, [key], { nowSeconds: at, clockTrusted });
    verifier.update(data);
    return verifier.finish();
  };
  for (const verify of [
    verifyImage,
    () => verifyEnvelope(data, [signature], [key], { nowSeconds: at, clockTrusted }),
  ]) {
    try {
      await verify();
      outcomes.push('accepted');
    } catch (error) {
      if (!isRefusal(error)) throw error;
      outcomes.push(error.code.replace(/^image-key-untrusted$/, 'key-unknown').replace(/^image-/, ''));
    }
  }
  const [image = '', command] = outcomes;
  expect(command).toBe(image);
  return image;
}

/** Adds a subkey that signs, and returns its fingerprint. */
function addSubkey(primary: string, algorithm: string, expires = 'never', at?: string): string {
  const time = at === undefined ? [] : ['--faked-system-time', `${at}!`];
  gpg.run([...time, '--passphrase', '', '--quick-add-key', primary, algorithm, 'sign', expires]);
  return subkeysOf(primary).at(-1) ?? '';
}

function subkeysOf(primary: string): string[] {
  const listing = gpg.run(['--with-colons', '--list-keys', primary]).stdout;
  return [...listing.matchAll(/^sub:.*\n(?:.*\n)*?fpr:+([0-9A-F]{40}):$/gm)].map((match) => match[1] ?? '');
}

/** What a person types in `gpg --edit-key`. */
function edit(primary: string, ...lines: readonly string[]): void {
  const options = ['--no-batch', '--command-fd', '0', '--pinentry-mode', 'loopback', '--passphrase', ''];
  gpg.run([...options, '--edit-key', primary], `${lines.join('\n')}\n`);
}

describe('[A9.10] a signing subkey', () => {
  it('that expired no longer signs for its key, which has not expired', async () => {
    const primary = gpg.newKey('sub expired', 'ed25519', { usage: 'cert', at: '20200101T000000' });
    const subkey = addSubkey(primary, 'ed25519', '1y', '20200101T000000');
    const signature = gpg.sign(data, subkey, '--faked-system-time', '20200601T000000!');
    expect(await judged(signature, gpg.export(primary))).toBe('key-unusable');
    const then = Date.UTC(2020, 7) / 1000;
    expect(await judged(signature, gpg.export(primary), { at: then })).toBe('accepted');
    // A board whose clock is in 1970 cannot know that the subkey has expired.
    expect(await judged(signature, gpg.export(primary), { at: 0, clockTrusted: false })).toBe('accepted');
  });

  it('that was revoked no longer signs, whatever the clock says', async () => {
    const primary = gpg.newKey('sub revoked', 'ed25519', { usage: 'cert' });
    const subkey = addSubkey(primary, 'ed25519');
    const signature = gpg.sign(data, subkey);
    expect(await judged(signature, gpg.export(primary))).toBe('accepted');
    edit(primary, 'key 1', 'revkey', 'y', '1', '', 'y', 'save');
    const revoked = gpg.export(primary);
    expect(await judged(signature, revoked)).toBe('key-unusable');
    expect(await judged(signature, revoked, { at: 0, clockTrusted: false })).toBe('key-unusable');
  });

  it('that is not valid yet signs only where the clock is not trusted', async () => {
    const primary = gpg.newKey('sub of the future', 'ed25519', { usage: 'cert' });
    const subkey = addSubkey(primary, 'ed25519', 'never', '20900101T000000');
    const signature = gpg.sign(data, subkey, '--faked-system-time', '20900102T000000!');
    expect(await judged(signature, gpg.export(primary))).toBe('key-unusable');
    expect(await judged(signature, gpg.export(primary), { clockTrusted: false })).toBe('accepted');
  });

  it.each([
    ['is weak', 'ed25519', 'rsa2048'],
    ['belongs to a weak key, which could be broken to add others', 'rsa2048', 'ed25519'],
  ])('that %s does not count', async (_what, algorithm, subAlgorithm) => {
    const primary = gpg.newKey(`${algorithm} over ${subAlgorithm}`, algorithm, { usage: 'cert' });
    const signature = gpg.sign(data, addSubkey(primary, subAlgorithm));
    expect(await judged(signature, gpg.export(primary))).toBe('key-unusable');
  });

  it('does not outlive its key', async () => {
    const primary = gpg.newKey('primary expired', 'ed25519', {
      usage: 'cert',
      expires: '1y',
      at: '20200101T000000',
    });
    const subkey = addSubkey(primary, 'ed25519', 'never', '20200201T000000');
    const signature = gpg.sign(data, subkey, '--faked-system-time', '20200601T000000!');
    expect(await judged(signature, gpg.export(primary))).toBe('key-unusable');
  });

  it('is unknown to a copy of the key without it', async () => {
    const primary = gpg.newKey('rotated', 'ed25519', { usage: 'cert' });
    addSubkey(primary, 'ed25519');
    const before = gpg.export(primary);
    const signature = gpg.sign(data, addSubkey(primary, 'ed25519'));
    expect(await judged(signature, before)).toBe('key-unknown');
    expect(await judged(signature, gpg.export(primary))).toBe('accepted');
  });

  it('may be next to one for encryption', async () => {
    const primary = gpg.newKey('everyday', 'ed25519');
    gpg.run(['--passphrase', '', '--quick-add-key', primary, 'cv25519', 'encr', 'never']);
    expect(await judged(gpg.sign(data, primary), gpg.export(primary))).toBe('accepted');
  });
});

describe('[A9.11] [A9.12] the time of a signature', () => {
  it('is not before its key existed', async () => {
    const key = gpg.newKey('young', 'ed25519', { at: '20240101T000000' });
    const conflict = ['--ignore-time-conflict', '--ignore-valid-from'];
    const signature = gpg.sign(data, key, ...conflict, '--faked-system-time', '20230101T000000!');
    expect(await judged(signature, gpg.export(key))).toBe('key-unusable');
    expect(await judged(signature, gpg.export(key), { at: 0, clockTrusted: false })).toBe('key-unusable');
  });

  it('in the future is accepted with an untrusted clock, and refused with a trusted one', async () => {
    const key = gpg.newKey('ahead', 'ed25519');
    const signature = gpg.sign(data, key, '--faked-system-time', '20900102T000000!');
    expect(await judged(signature, gpg.export(key))).toBe('signature-invalid');
    expect(await judged(signature, gpg.export(key), { clockTrusted: false })).toBe('accepted');
  });
});

describe('[A9.14] a file of keys', () => {
  it('may have a key with several user IDs, one of them revoked', async () => {
    const key = gpg.newKey('Ann <ann@example.com>', 'ed25519');
    gpg.run(['--passphrase', '', '--quick-add-uid', key, 'Ann <ann@work.example>']);
    gpg.run(['--passphrase', '', '--quick-add-uid', key, 'Ann <ann@old.example>']);
    gpg.run(['--passphrase', '', '--quick-revoke-uid', key, 'Ann <ann@old.example>']);
    expect(await judged(gpg.sign(data, key), gpg.export(key))).toBe('accepted');
    const { usable } = await reviewKeys(gpg.export(key), { nowSeconds: now, clockTrusted: false });
    expect(usable[0]?.userIds.toSorted()).toEqual(
      ['Ann <ann@example.com>', 'Ann <ann@old.example>', 'Ann <ann@work.example>'].toSorted(),
    );
  });

  it('may have several keys in one block', async () => {
    const [one, other] = [gpg.newKey('one', 'ed25519'), gpg.newKey('other', 'nistp256')];
    const both = gpg.run(['--armor', '--export', one, other]).stdout;
    expect(both.match(/BEGIN PGP/g)).toHaveLength(1);
    for (const key of [one, other]) expect(await judged(gpg.sign(data, key), both)).toBe('accepted');
    expect((await readKeys([both], time)).usable).toHaveLength(2);
  });

  it.each<[string, (key: string) => string]>([
    ['text before and after', (key) => `Our key:\n\n${key}\nSee you.\n`],
    ['lines that end as on Windows', (key) => key.replaceAll('\n', '\r\n')],
    ['a malformed block after it', (key) => `${key}\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n`],
    ['a signature after it', (key) => key + gpg.sign(data, gpg.newKey('signer', 'ed25519'))],
  ])('may have %s: the key still counts', async (_what, change) => {
    const key = gpg.newKey('good', 'ed25519');
    expect(await judged(gpg.sign(data, key), change(gpg.export(key)))).toBe('accepted');
  });

  it.each<[string, () => string, RegExp]>([
    ['binary', () => gpg.run(['--export', gpg.newKey('binary', 'ed25519')]).stdout, /gpg --armor --export/],
    ['a signature', () => gpg.sign(data, gpg.newKey('x', 'ed25519')), /cannot be read as an OpenPGP key/],
    ['empty', () => '\n', /holds no OpenPGP key/],
    [
      'larger than keys are',
      () => gpg.export(gpg.newKey('huge', 'ed25519')).replace('\n\n', `\n\n${'\n'.repeat(300_000)}`),
      /longer than 262144 characters/,
    ],
    [
      'cut off',
      () => gpg.export(gpg.newKey('cut', 'ed25519')).slice(0, 200),
      /cannot be read as an OpenPGP key/,
    ],
  ])('is refused with the reason when it is %s', async (_what, produce, reason) => {
    const { usable, unusable } = await readKeys([produce()], time);
    expect(usable).toEqual([]);
    expect(unusable[0]?.reason).toMatch(reason);
  });
});

describe('[A9.5] a key of another kind', () => {
  it.each(['secp256k1', 'brainpoolP384r1', 'brainpoolP512r1', 'rsa1024'])(
    '%s does not count, and the message names the kinds that do',
    async (algorithm) => {
      const key = gpg.newKey(algorithm, algorithm);
      expect(await judged(gpg.sign(data, key), gpg.export(key))).toBe('key-unusable');
      const { unusable } = await readKeys([gpg.export(key)], time);
      expect(unusable[0]?.reason).toContain('use Ed25519, RSA from 3072 bits or NIST P-256');
    },
  );
});
