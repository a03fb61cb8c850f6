import { existsSync } from 'node:fs';
import { readRegular } from '../../core/files/index.ts';
import type { CapabilityReport } from '../../wire/report/index.ts';

interface KeyPlaces {
  /** The sealed private half. */
  readonly deviceKey: string;
  readonly devicePublicKey: string;
}

/** `wherry key init` writes it as a comment into the armored key (RFC 9580 §6.2.2.2). */
const sealing = /^Comment: wherry ([0-9a-f]{40}) sealed by (tpm2|host)$/m;

/**
 * The capability for the report: the key of the device. None without a key, and not available
 * where a half of it is missing or damaged. It decides nothing: a broker can change a report, so
 * operators pin the key from a file.
 */
export function encryptionCapability({ deviceKey, devicePublicKey }: KeyPlaces): readonly CapabilityReport[] {
  if (!existsSync(deviceKey) && !existsSync(devicePublicKey)) return [];
  const [, fingerprint, by] = sealing.exec(textOf(devicePublicKey)) ?? [];
  if (fingerprint === undefined || textOf(deviceKey) === '') {
    const half = fingerprint === undefined ? devicePublicKey : deviceKey;
    const detail = `${half} is missing or damaged; make a new key with "wherry key init --force"`;
    return [{ name: 'encryption', available: false, detail }];
  }
  const detail =
    by === 'tpm2'
      ? `key ${fingerprint}, sealed by the TPM`
      : `key ${fingerprint}, sealed by the key of the host, which is on the same disk: there is no TPM`;
  return [{ name: 'encryption', available: true, detail }];
}

/** Empty for a file that cannot be read. */
function textOf(path: string): string {
  try {
    return readRegular(path).toString('latin1');
  } catch {
    return '';
  }
}
