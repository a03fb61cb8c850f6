import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as openpgp from 'openpgp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signatureBlocks, signatureVerifier } from '../../../../src/wire/trust/openpgp.ts';
import { generateKey, type GeneratedKey } from '../../../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../../../support/gnupg.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';
import { testImage } from '../../../support/test-image.ts';

let directory: string;
let gpg: GnuPg;
/** A key of OpenPGP.js. */
let alice: GeneratedKey;
/** A key of GnuPG that signs with a subkey, the usual key on a machine. */
let bob: string;
const at = (name: string): string => join(directory, name);
const sign = (...options: string[]): Promise<Run> => wherry(['image', 'sign', at('web.aci'), ...options]);
const asc = (): string => readFileSync(at('web.aci.asc'), 'latin1');
const publicKeys = (): string[] => [alice.publicKey, gpg.export(bob)];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-signatures-'));
  writeFileSync(at('web.aci'), (await testImage()).aci);
  alice = await generateKey({ name: 'alice' });
  writeFileSync(at('alice.key'), alice.privateKey);
  gpg = openGnuPg();
  bob = gpg.newKey('bob@example.com', 'ed25519', { usage: 'cert,sign' });
  gpg.run(['--passphrase', '', '--quick-add-key', bob, 'ed25519', 'sign', 'never']);
  writeFileSync(at('bob.key'), gpg.run(['--armor', '--export-secret-keys', bob]).stdout);
});
afterAll(() => {
  gpg.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => rmSync(at('web.aci.asc'), { force: true }));

/** The signers that a device with a threshold accepts. */
async function signedBy(threshold: number): Promise<string[]> {
  const time = { nowSeconds: Math.floor(Date.now() / 1000), clockTrusted: true };
  const verifier = await signatureVerifier(asc(), publicKeys(), time, [], threshold);
  verifier.update(readFileSync(at('web.aci')));
  return (await verifier.finish()).fingerprint.split(' ').sort();
}

describe('wherry image sign --add', () => {
  it('[C83] adds the signature of a second key, for a role with a threshold', async () => {
    expect(await sign('--key', at('alice.key'), '--add')).toMatchObject({ status: 0, err: '' });
    expect(await sign('--key', at('bob.key'), '--add')).toMatchObject({ status: 0, err: '' });
    expect(await signedBy(2)).toEqual([alice.fingerprint, bob.toLowerCase()].sort());

    // GnuPG and OpenPGP.js accept each of them.
    gpg.run(['--import', gpg.writeFile('alice.asc', alice.publicKey)]);
    const verificationKeys = await Promise.all(
      publicKeys().map(async (armoredKey) => (await openpgp.readKey({ armoredKey })).toPublic()),
    );
    for (const block of signatureBlocks(asc())) {
      expect(gpg.run(['--verify', gpg.writeFile('one.asc', block), at('web.aci')]).status).toMatch(/GOODSIG/);
      const message = await openpgp.createMessage({ binary: new Uint8Array(readFileSync(at('web.aci'))) });
      const signature = await openpgp.readSignature({ armoredSignature: block });
      const { signatures } = await openpgp.verify({ message, signature, verificationKeys });
      await expect(signatures[0]?.verified).resolves.toBe(true);
    }

    writeFileSync(at('alice.asc'), alice.publicKey);
    writeFileSync(at('bob.asc'), gpg.export(bob));
    const keys = ['--key', at('alice.asc'), '--key', at('bob.asc')];
    const verified = await wherry(['image', 'verify', at('web.aci'), ...keys]);
    expect(verified).toMatchObject({ status: 0, err: '' });
    expect(verified.out).toMatch(/signed by [0-9A-F ]{50}, [0-9A-F ]{50}$/m);
  });

  it('never has the same key twice, not even by another subkey or through GnuPG', async () => {
    writeFileSync(at('web.aci.asc'), gpg.sign(at('web.aci'), bob));
    expect(await sign('--key', at('bob.key'), '--add')).toMatchObject({ status: 0 });
    expect(signatureBlocks(asc())).toHaveLength(1);
    await sign('--key', at('alice.key'), '--add');
    await sign('--key', at('bob.key'), '--add');
    await sign('--key', at('alice.key'), '--add');
    expect(signatureBlocks(asc())).toHaveLength(2);
    expect(await signedBy(2)).toHaveLength(2);
  });

  it('keeps what GnuPG appended', async () => {
    await sign('--key', at('alice.key'));
    writeFileSync(at('web.aci.asc'), asc() + gpg.sign(at('web.aci'), bob));
    await sign('--key', at('alice.key'), '--add');
    expect(await signedBy(2)).toHaveLength(2);
  });

  it('signs none of several images when one of them is refused', async () => {
    writeFileSync(at('bad.aci'), 'not an image');
    const images = ['image', 'sign', at('web.aci'), at('bad.aci'), '--key', at('alice.key')];
    expect(await wherry(images)).toMatchObject({ status: 65, out: '' });
    expect(existsSync(at('web.aci.asc'))).toBe(false);
  });

  it('replaces all signatures without the option', async () => {
    await sign('--key', at('alice.key'));
    await sign('--key', at('bob.key'));
    expect(await signedBy(1)).toEqual([bob.toLowerCase()]);
  });

  it('refuses a file without signatures, and a ninth key', async () => {
    writeFileSync(at('web.aci.asc'), 'notes\n');
    const refused = await sign('--key', at('alice.key'), '--add');
    expect(refused.err).toMatch(/web\.aci\.asc: it is not a file of armored signatures.*input-invalid/);
    expect(readFileSync(at('web.aci.asc'), 'utf8')).toBe('notes\n');

    rmSync(at('web.aci.asc'));
    for (let count = 1; count <= 9; count++) {
      const { privateKey } = await generateKey({ name: `key ${count}` });
      writeFileSync(at('next.key'), privateKey);
      const { status, err } = await sign('--key', at('next.key'), '--add');
      expect(status).toBe(count <= 8 ? 0 : 64);
      if (count === 9) expect(err).toMatch(/signatures of 8 other keys; devices read 8.*input-invalid/);
    }
    expect(signatureBlocks(asc())).toHaveLength(8);
  });
});
