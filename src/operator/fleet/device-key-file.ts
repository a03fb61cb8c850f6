import { isRefusal, Refusal } from '../../core/refusal/index.ts';

/** The public key of a device, to encrypt to. */
export interface PinnedKey {
  readonly armored: string;
  readonly fingerprint: string;
}

/**
 * The fingerprint of the key in a file that shall hold the public key of a device.
 * @param file named in the refusal
 * @throws Refusal `input-invalid`, which says what the file holds
 */
export async function requireDeviceKey(text: string, file: string): Promise<string> {
  // Loads OpenPGP.
  const { deviceKeyFingerprint } = await import('../../wire/trust/sign.ts');
  try {
    const blocks = text.split('-----BEGIN PGP PUBLIC KEY BLOCK-----').length - 1;
    if (blocks > 1) throw new Refusal('input-invalid', `it holds ${blocks} keys`);
    return await deviceKeyFingerprint(text);
  } catch (cause) {
    if (!isRefusal(cause)) throw cause;
    throw new Refusal(
      'input-invalid',
      `${file} is not the public key of a device: ${foundIn(text) ?? cause.message}; take what "wherry key show" prints on the device, or its file /var/lib/wherry/device-key.asc`,
      { cause },
    );
  }
}

/** What a file holds in place of a key; undefined for one or several public keys. */
function foundIn(text: string): string | undefined {
  if (text.trim() === '') return 'it is empty';
  const block = /-----BEGIN ([A-Z0-9 ]{1,60})-----/.exec(text)?.[1];
  if (block === 'PGP PUBLIC KEY BLOCK') return undefined;
  if (block?.includes('PRIVATE KEY') === true)
    return `it holds a private key (${block}), which must not leave its machine`;
  if (block !== undefined) return `it holds ${block}`;
  if (/[\0\ufffd]/.test(text)) return 'it is binary, and the key is text';
  return text.trimStart().startsWith('{') ? 'it is JSON, as with --json' : 'it is other text';
}
