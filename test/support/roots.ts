import { parseAcName } from '../../src/image/appc/identifiers.ts';
import { encodeEnvelope, encodeRoot, type Role, type RootDocument } from '../../src/wire/trust/index.ts';
import { signDetached, type GeneratedKey } from '../../src/wire/trust/sign.ts';
import { day, issued } from './operator.ts';

/** A role of these keys. */
export function role(threshold: number, ...keys: readonly GeneratedKey[]): Role {
  return { threshold, keys: keys.map(({ fingerprint }) => fingerprint) };
}

/** A root with these roles, which contains the certificates that they name. */
export function rootOf(
  roles: RootDocument['roles'],
  known: readonly GeneratedKey[],
  change: Partial<RootDocument> = {},
): RootDocument {
  const named = new Set(Object.values(roles).flatMap(({ keys }) => keys));
  const keys = known.filter(({ fingerprint }) => named.has(fingerprint));
  return {
    format: 1,
    fleet: parseAcName('farm'),
    version: 1,
    issued,
    expires: issued + 1000 * day,
    keys: Object.fromEntries(keys.map(({ fingerprint, publicKey }) => [fingerprint, publicKey])),
    roles,
    ...change,
  };
}

/** The message that publishes `root`. */
export async function publishRoot(
  root: RootDocument,
  ...signers: readonly GeneratedKey[]
): Promise<Uint8Array> {
  const payload = encodeRoot(root);
  const signatures = signers.map(({ privateKey }) => signDetached(payload, privateKey, root.issued));
  return encodeEnvelope({ payload, signatures: await Promise.all(signatures) });
}
