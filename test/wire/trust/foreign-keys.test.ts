import { describe, expect, it } from 'vitest';
import { verifyEnvelope } from '../../../src/wire/trust/command-signature.ts';
import { signatureVerifier } from '../../../src/wire/trust/image-signature.ts';
import { reviewKeys } from '../../../src/wire/trust/review.ts';
import { signDetached } from '../../../src/wire/trust/sign.ts';
import { foreignKeys, signedText, whileValid } from '../../support/foreign-keys.ts';

const data = Buffer.from(signedText);
const time = { nowSeconds: whileValid, clockTrusted: true };
const stranger = (publicKey: string): string =>
  foreignKeys.find((one) => one.publicKey !== publicKey)?.publicKey ?? '';

/** GnuPG's are in `gnupg-keys.test.ts`. */
describe.each(foreignKeys)('a key of $tool', ({ publicKey, privateKey, signature }) => {
  it('is accepted by "wherry trust add"', async () => {
    expect(await reviewKeys(publicKey, time)).toMatchObject({ usable: [{}], unusable: [] });
  });

  it('verifies what its own program signed: a command, and an image', async () => {
    const { fingerprints } = await verifyEnvelope(data, [signature], [publicKey], time);
    expect(fingerprints).toHaveLength(1);
    const verifier = await signatureVerifier(signature, [publicKey], time);
    verifier.update(data);
    expect(await verifier.finish()).toMatchObject({ fingerprint: fingerprints[0] });
    await expect(verifyEnvelope(data, [signature], [stranger(publicKey)], time)).rejects.toMatchObject({
      code: 'key-unknown',
    });
    await expect(verifyEnvelope(Buffer.from('b'), [signature], [publicKey], time)).rejects.toMatchObject({
      code: 'signature-invalid',
    });
  });

  it('signs commands here', async () => {
    const made = await signDetached(data, privateKey, whileValid, [publicKey]);
    expect((await verifyEnvelope(data, [made], [publicKey], time)).fingerprints).toHaveLength(1);
  });
});
