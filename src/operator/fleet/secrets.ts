import { createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isAcName } from '../../image/appc/index.ts';
import { Refusal, unreadableFile } from '../../core/refusal/index.ts';
import {
  decodeEnvelope,
  type DesiredSecret,
  maxSecretBytes,
  secretDigest,
  type SecretValue,
} from '../../wire/trust/index.ts';
import type { FleetDirectory } from './fleet-directory.ts';

/**
 * Reads the values that `--secret NAME=@FILE` name. The salt of a value is derived from a key of
 * the fleet directory, so the same value has the same digest in every command: devices restart no
 * app for it.
 *
 * @throws Refusal `usage`, `input-invalid`
 */
export async function readSecrets(
  fleet: FleetDirectory,
  texts: readonly string[],
): Promise<readonly SecretValue[]> {
  const values: SecretValue[] = [];
  for (const text of texts) {
    const [, name = '', file = ''] = /^([^=]*)=@(.+)$/s.exec(text) ?? [];
    if (!isAcName(name) || name.length > 64 || file === '') {
      // Not quoted: somebody may have written the value itself.
      throw new Refusal(
        'usage',
        '--secret takes NAME=@FILE with a name of lower-case words and dashes; the value is in the file, never on the command line',
      );
    }
    const value = await readFile(file).catch((cause: unknown) => {
      throw unreadableFile(`the secret ${file}`, cause);
    });
    if (value.length > maxSecretBytes) {
      throw new Refusal(
        'input-invalid',
        `the secret ${name} has ${value.length} bytes; ${maxSecretBytes} are the limit`,
      );
    }
    if (values.some((other) => other.name === name))
      throw new Refusal('input-invalid', `the secret ${name} is given twice`);
    values.push({ name, salt: saltOf(await fleet.saltKey(() => randomBytes(32)), name, value), value });
  }
  return values;
}

/** What a payload says of them. */
export function namedSecrets(values: readonly SecretValue[]): readonly DesiredSecret[] {
  return values.map((secret) => ({ name: secret.name, digest: secretDigest(secret) }));
}

/**
 * The message for `device`, or for a group by `@NAME`, that carries the signed `envelope`:
 * encrypted where the key of the device is known.
 *
 * @throws Refusal `device-key-missing` when there are values and no key, `usage` when they are for
 *   a group: a secret never travels in the open
 */
export async function messageFor(
  fleet: FleetDirectory,
  device: string,
  envelope: Uint8Array,
  values: readonly SecretValue[],
): Promise<Uint8Array> {
  if (device.startsWith('@')) {
    if (values.length === 0) return envelope;
    throw new Refusal(
      'usage',
      'secrets are for devices: a command for a group is not encrypted, because its members may change; deploy them to devices by name',
    );
  }
  const key = await fleet.deviceKey(device);
  if (key === undefined) {
    if (values.length === 0) return envelope;
    throw new Refusal(
      'device-key-missing',
      `the key of ${device} is not known, and secrets only travel encrypted; run "wherry key init" there and "wherry fleet key add ${device} FILE" here`,
    );
  }
  // Loads OpenPGP.
  const { encryptMessage } = await import('../../wire/trust/sign.ts');
  const { payload, signatures } = decodeEnvelope(envelope);
  return await encryptMessage({ payload, signatures, secrets: values }, [key]);
}

function saltOf(key: Uint8Array, name: string, value: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(`wherry salt\0${name}\0`).update(value).digest();
}
