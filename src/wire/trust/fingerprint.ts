import * as openpgp from 'openpgp';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * The fingerprint of an armored key, lower-case hex.
 *
 * @throws {Refusal} `input-invalid` when it is not a key.
 */
export async function fingerprintOf(armoredKey: string): Promise<string> {
  try {
    return (await openpgp.readKey({ armoredKey })).getFingerprint();
  } catch (cause) {
    throw new Refusal('input-invalid', 'it is not an armored OpenPGP key', { cause });
  }
}

/** A fingerprint for people to compare, in the groups of four that GnuPG prints. */
export function formatFingerprint(fingerprint: string): string {
  const groups = fingerprint.toUpperCase().match(/.{1,4}/g) ?? [];
  const half = Math.ceil(groups.length / 2);
  return `${groups.slice(0, half).join(' ')}  ${groups.slice(half).join(' ')}`;
}
