import { createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isAcName } from '../../image/appc/index.ts';
import { isRefusal, Refusal, unreadableFile } from '../../core/refusal/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  type DesiredSecret,
  type DesiredState,
  maxSecretBytes,
  secretDigest,
  type SecretValue,
} from '../../wire/trust/index.ts';
import type { FleetDirectory } from './fleet-directory.ts';

/**
 * Reads the values that `--secret NAME=@FILE` name. The salt of a value is derived from a key of
 * the fleet directory, so the same value has the same digest in every command, and devices restart
 * no app for it.
 *
 * @returns the values, and a function that saves the key if it is a new one. Call it when nothing
 *   can refuse the command any more.
 * @throws Refusal `usage`, `input-invalid`
 */
export async function readSecrets(
  fleet: FleetDirectory,
  texts: readonly string[],
): Promise<{ readonly values: readonly SecretValue[]; readonly saveKey: () => Promise<void> }> {
  const values: SecretValue[] = [];
  const saved = texts.length === 0 ? undefined : await fleet.saltKey();
  const key = saved ?? randomBytes(32);
  for (const text of texts) {
    const [, name = '', file = ''] = /^([^=]*)=@(.+)$/s.exec(text) ?? [];
    if (!isAcName(name) || name.length > 64 || file === '') {
      // Not quoted: the text may be the secret value itself.
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
    values.push({ name, salt: saltOf(key, name, value), value });
  }
  const isNew = values.length > 0 && saved === undefined;
  return { values, saveKey: async () => (isNew ? await fleet.saveSaltKey(key) : undefined) };
}

/** The entries of a payload for these values. */
export function namedSecrets(values: readonly SecretValue[]): readonly DesiredSecret[] {
  return values.map((secret) => ({ name: secret.name, digest: secretDigest(secret) }));
}

/**
 * The message for `device`, or for a group by `@NAME`, that carries the signed `envelope`. It is
 * encrypted if the key of the device is known; for a group, if it names secrets, also without their
 * values: the pods of such a command are in the open at no time.
 *
 * @throws Refusal `device-key-missing` when there are values and no key: a secret is never sent
 *   unencrypted. For a group also `usage` when `fleet.toml` does not list its devices, and
 *   `envelope-too-large`
 */
export async function messageFor(
  fleet: FleetDirectory,
  device: string,
  envelope: Uint8Array,
  values: readonly SecretValue[],
): Promise<Uint8Array> {
  if (device.startsWith('@')) {
    if (values.length === 0 && !namesSecrets(envelope)) return envelope;
    return await groupMessage(fleet, device.slice(1), envelope, values);
  }
  if (values.length > 0) return await encrypted(envelope, values, await requireDeviceKeys(fleet, [device]));
  const key = await fleet.deviceKey(device);
  return key === undefined ? envelope : await encrypted(envelope, values, [key.armored]);
}

function namesSecrets(envelope: Uint8Array): boolean {
  const payload = alreadyVerified(decodeEnvelope(envelope).payload, 'own-history');
  return (decodeDesiredState(payload).secrets ?? []).length > 0;
}

/**
 * The keys of devices that get values of secrets.
 * @throws Refusal `device-key-missing`, which ends with `advice`
 */
export async function requireDeviceKeys(
  fleet: FleetDirectory,
  devices: readonly string[],
  advice = '',
): Promise<readonly string[]> {
  const keys: string[] = [];
  const unknown: string[] = [];
  // One after the other: thousands of open files would be too many.
  for (const device of devices) {
    const key = await fleet.deviceKey(device);
    if (key === undefined) unknown.push(device);
    else keys.push(key.armored);
  }
  const [first, ...others] = unknown;
  if (first === undefined) return keys;
  const more = others.length === 0 ? '' : ` and of ${others.length} more devices`;
  throw new Refusal(
    'device-key-missing',
    `the key of ${first}${more} is not known, and secrets only travel encrypted; run "wherry key init" there and "wherry fleet key add ${first} FILE" here${advice}`,
  );
}

/**
 * Checks that these are values of secrets that a command names.
 *
 * @param what names the command in the refusal
 * @throws Refusal `secret-mismatch`
 */
export function requireNamedValues(
  what: string,
  { secrets = [] }: DesiredState,
  values: readonly SecretValue[],
): void {
  for (const { name, digest } of namedSecrets(values)) {
    if (secrets.some((secret) => secret.name === name && secret.digest === digest)) continue;
    throw new Refusal('secret-mismatch', `${what} was not signed with this value of the secret ${name}`);
  }
}

/**
 * Recipients are the devices that the operator lists: a compromised device could report any group.
 */
async function groupMessage(
  fleet: FleetDirectory,
  group: string,
  envelope: Uint8Array,
  values: readonly SecretValue[],
): Promise<Uint8Array> {
  const members = fleet.config.groups.get(group) ?? [];
  if (members.length === 0) {
    throw new Refusal(
      'usage',
      `secrets are encrypted to the devices of a group, and fleet.toml does not list those of ${group}: add ${group} = ["crane-7", …] to its table [groups]`,
    );
  }
  const known = await requireDeviceKeys(fleet, members, ', or take the device from the list in fleet.toml');
  return await encrypted(envelope, values, known).catch((cause: unknown) => {
    if (!isRefusal(cause, 'envelope-too-large')) throw cause;
    throw new Refusal(
      cause.code,
      `${cause.message}; ${members.length} devices of ${group} need about ${96 * members.length} of them: make several groups, or deploy to devices by name`,
      { cause },
    );
  });
}

async function encrypted(
  envelope: Uint8Array,
  values: readonly SecretValue[],
  keys: readonly string[],
): Promise<Uint8Array> {
  // Loads OpenPGP.
  const { encryptMessage } = await import('../../wire/trust/sign.ts');
  const { payload, signatures } = decodeEnvelope(envelope);
  return await encryptMessage({ payload, signatures, secrets: values }, keys);
}

function saltOf(key: Uint8Array, name: string, value: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(`wherry salt\0${name}\0`).update(value).digest();
}
