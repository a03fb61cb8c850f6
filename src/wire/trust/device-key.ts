import * as openpgp from 'openpgp';

/**
 * The creation time of every device key. A device may make its key before it knows the time, and a
 * key from the future is not usable.
 */
const keyTime = new Date(Date.UTC(2025, 0, 1));

export interface DeviceKey {
  /** Armored and not protected by a passphrase: systemd-creds seals it. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Lower-case hex. */
  readonly fingerprint: string;
}

/** Makes the key to which commands for a device are encrypted: Curve25519 in the form of GnuPG. */
export async function generateDeviceKey(name: string): Promise<DeviceKey> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    type: 'ecc',
    curve: 'curve25519Legacy',
    userIDs: [{ name }],
    format: 'object',
    date: keyTime,
  });
  return {
    privateKey: privateKey.armor(),
    publicKey: publicKey.armor(),
    fingerprint: publicKey.getFingerprint(),
  };
}
