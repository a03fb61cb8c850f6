import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { signatureVerifier } from '../../../src/wire/trust/image-signature.ts';
import {
  exportPublic,
  fingerprintOf,
  formatFingerprint,
  generateKey,
  signDetached,
  type GeneratedKey,
} from '../../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';

const now = Math.floor(Date.now() / 1000);
const time = { nowSeconds: now, clockTrusted: true };
const data = Buffer.from('some bytes\r\n\0');

let gpg: GnuPg;
let key: GeneratedKey;

beforeAll(async () => {
  gpg = openGnuPg();
  key = await generateKey({ name: 'farm deploy', createdSeconds: now - 60 });
  gpg.run(['--import', gpg.writeFile('key.asc', key.publicKey)]);
});
afterAll(() => gpg.close());

/** The fingerprint of the key whose signature over `path` GnuPG accepts. */
function gpgVerify(signature: string, path: string): string | undefined {
  const { status } = gpg.run(['--verify', gpg.writeFile('signature.asc', signature), path]);
  return /\[GNUPG:\] VALIDSIG ([0-9A-F]{40})/.exec(status)?.[1]?.toLowerCase();
}

describe('[A9.20] what the operator signs', () => {
  it('is accepted by GnuPG', async () => {
    const signature = await signDetached(data, key.privateKey, now);
    expect(gpgVerify(signature, gpg.writeFile('data', data))).toBe(key.fingerprint);
    expect(() => gpgVerify(signature, gpg.writeFile('data', 'other'))).toThrow(/BAD signature/);
  });

  it('can be a stream of 50 MB, of which each chunk is hashed as it arrives', async () => {
    // A signer that kept the chunks would sign other bytes, and one that copied them would grow.
    const chunk = Buffer.alloc(1 << 20);
    const before = process.memoryUsage().arrayBuffers;
    let peak = before;
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 50; index++) {
        peak = Math.max(peak, process.memoryUsage().arrayBuffers);
        yield await Promise.resolve(chunk.fill(index));
      }
    };
    const signature = await signDetached(stream(), key.privateKey, now);
    expect(peak - before).toBeLessThan(1 << 22);
    const content = Buffer.concat(Array.from({ length: 50 }, (_, index) => Buffer.alloc(1 << 20, index)));
    const path = gpg.writeFile('large', content);
    expect(gpgVerify(signature, path)).toBe(key.fingerprint);
  });

  it('is accepted by a device that knows the exported public key', async () => {
    const signature = await signDetached(data, key.privateKey, now);
    const verifier = await signatureVerifier(signature, [await exportPublic(key.privateKey)], time);
    verifier.update(data);
    expect(await verifier.finish()).toEqual({ fingerprint: key.fingerprint });
  });

  it.each(['rsa3072', 'nistp256', 'nistp384', 'nistp521'])(
    'can be signed with a %s key of GnuPG',
    async (name) => {
      const fingerprint = gpg.newKey(`from gnupg ${name}`, name);
      const secret = gpg.run(['--armor', '--export-secret-keys', fingerprint]).stdout;
      const signature = await signDetached(data, secret, now + 60);
      expect(gpg.run(['--list-packets'], signature).stdout).toContain('sigclass 0x00');
      expect(gpgVerify(signature, gpg.writeFile('data', data))).toBe(fingerprint.toLowerCase());
    },
  );
});

describe('a generated key', () => {
  it('is an Ed25519 key of version 4 that GnuPG lists with its name and without an expiry', () => {
    const listing = gpg.run(['--with-colons', '--list-keys', key.fingerprint]).stdout;
    const fields = listing.split('\n').find((line) => line.startsWith('pub:'))?.split(':') ?? []; // prettier-ignore
    expect({ algorithm: fields[3], expires: fields[6], curve: fields[16] }).toEqual({
      algorithm: '22',
      expires: '',
      curve: 'ed25519',
    });
    expect(listing).toContain('farm deploy');
    expect(listing).not.toContain('sub:');
  });

  it('exports a public half without the secret', async () => {
    const exported = await exportPublic(key.privateKey);
    expect(exported).toContain('BEGIN PGP PUBLIC KEY BLOCK');
    expect(await fingerprintOf(exported)).toBe(key.fingerprint);
    expect(gpg.run(['--import', gpg.writeFile('exported.asc', exported)]).status).not.toContain('secret');
  });
});

describe('a mistake of the operator is refused in one message', () => {
  const refused = async (action: Promise<unknown>): Promise<string> => {
    const error: unknown = await action.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return isRefusal(error, 'input-invalid') ? error.message : 'no refusal';
  };

  it('a public key cannot sign', async () => {
    expect(await refused(signDetached(data, key.publicKey, now))).toMatch(
      /not an armored OpenPGP private key/,
    );
  });

  it('noise is not a key', async () => {
    expect(await refused(exportPublic('noise'))).toMatch(/not an armored/);
    expect(await refused(fingerprintOf('noise'))).toMatch(/not an armored/);
  });

  it('a locked key is refused with what to do', async () => {
    const status = gpg.run(['--pinentry-mode', 'loopback', '--passphrase', 'secret', '--quick-gen-key', 'locked', 'ed25519', 'sign']).status; // prettier-ignore
    const fingerprint = /KEY_CREATED \w (\w{40})/.exec(status)?.[1] ?? '';
    const locked = gpg.run(['--pinentry-mode', 'loopback', '--passphrase', 'secret', '--armor', '--export-secret-keys', fingerprint]); // prettier-ignore
    expect(await refused(signDetached(data, locked.stdout, now))).toMatch(
      /locked by a passphrase; sign with gpg/,
    );
  });

  it('a key of the future cannot sign now', async () => {
    expect(await refused(signDetached(data, key.privateKey, now - 3600))).toMatch(/cannot sign now/);
  });
});

it('fingerprints are shown in the groups of GnuPG', () => {
  const shown = formatFingerprint(key.fingerprint);
  const printed = gpg.run(['--fingerprint', key.fingerprint]).stdout;
  expect(printed).toContain(shown);
});
