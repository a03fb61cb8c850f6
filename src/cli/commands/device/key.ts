import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { diskRefusal, reasonOf, Refusal } from '../../../core/refusal/index.ts';
import { places } from '../../../device/host/index.ts';
import { type Disk, nodeDisk } from '../../../device/store/index.ts';
import { formatFingerprint, generateDeviceKey } from '../../../wire/trust/openpgp.ts';
import type { Context } from '../../context.ts';
import { unbroken } from '../../terminal.ts';

/** The name of the credential in wherry-examine.service. It is sealed together with its name. */
const keyCredential = 'wherry.device-key';

/**
 * `wherry key init`: makes the key of this device. The private half is sealed by systemd-creds
 * before it is written, with the TPM or the key of the host.
 */
export async function initKey(context: Context, options: { readonly force?: true }): Promise<void> {
  if (existsSync(places.deviceKey) && options.force !== true) {
    throw new Refusal(
      'input-invalid',
      'this device has a key already; replace it (--force) only if it is lost, and tell the operator',
    );
  }
  const made = await sealNewKey();
  await unbroken(context.terminal, () => storeKey(made));
  showMade(context, made);
}

/** A key of this device, sealed and not stored yet. */
export interface SealedKey {
  readonly fingerprint: string;
  readonly by: 'tpm2' | 'host';
  readonly sealed: string;
  /** The public half, with a comment that names how the private one is sealed. */
  readonly shown: string;
}

/** Makes and seals a key; writes nothing. @throws Refusal `device-unsupported` */
export async function sealNewKey(): Promise<SealedKey> {
  const { privateKey, publicKey, fingerprint } = await generateDeviceKey('wherry device');
  const sealed = await run(['encrypt', `--name=${keyCredential}`, '-', '-'], privateKey);
  const by = await run(['has-tpm2', '--quiet']).then(
    () => 'tpm2' as const,
    () => 'host' as const,
  );
  const comment = `Comment: wherry ${fingerprint} sealed by ${by}`;
  const shown = publicKey.replace('BLOCK-----\n', `BLOCK-----\n${comment}\n`).replaceAll('\r', '');
  return { fingerprint, by, sealed, shown };
}

/** Removes what `storeKey` wrote. */
export async function removeKey(): Promise<void> {
  const disk = nodeDisk();
  for (const path of [places.deviceKey, places.devicePublicKey]) await disk.remove(path);
}

/** Stores the key of this device. @throws Refusal `device-unsupported` */
export async function storeKey(key: SealedKey): Promise<void> {
  try {
    await mkdir(dirname(places.deviceKey), { recursive: true, mode: 0o700 });
    await placeKey(nodeDisk(), places, key);
  } catch (cause) {
    const what = 'the key cannot be written';
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') throw diskRefusal(cause, what) ?? cause;
    throw new Refusal('device-unsupported', `${what}: ${reasonOf(cause)}; run this as root`, { cause });
  }
}

/**
 * Places both halves, the private one last and not beside the public half of another key: after a
 * power cut the device has the old key, the new one, or none, and then the next `wherry key init`
 * makes one. Nothing is replaced before both halves are written.
 */
export async function placeKey(
  disk: Disk,
  { deviceKey, devicePublicKey }: Record<'deviceKey' | 'devicePublicKey', string>,
  { sealed, shown }: Pick<SealedKey, 'sealed' | 'shown'>,
): Promise<void> {
  const halves = [
    { path: devicePublicKey, temporary: `${devicePublicKey}.new`, text: shown },
    { path: deviceKey, temporary: `${deviceKey}.new`, text: sealed },
  ];
  try {
    for (const { temporary, text } of halves) {
      await disk.write(temporary, Buffer.from(text));
      await disk.syncFile(temporary);
    }
    await disk.remove(deviceKey);
    await disk.syncDirectory(dirname(deviceKey));
    for (const { path, temporary } of halves) {
      await disk.rename(temporary, path);
      await disk.syncDirectory(dirname(path));
    }
  } finally {
    for (const { temporary } of halves) await disk.remove(temporary);
  }
}

function showMade(context: Context, { fingerprint, by }: SealedKey): void {
  const { terminal } = context;
  if (context.json) {
    terminal.out(JSON.stringify({ fingerprint, sealedBy: by }));
    return;
  }
  terminal.out(`made the key ${formatFingerprint(fingerprint)}`);
  terminal.out(
    by === 'tpm2'
      ? 'its private half is sealed by the TPM'
      : 'its private half is sealed by the key of the host, which is on the same disk: this device has no TPM',
  );
  terminal.out('show it to the operator: "wherry key show"');
}

/** `wherry key show` */
export async function showKey(context: Context): Promise<void> {
  const armored = await (async () => {
    await access(places.deviceKey); // without it the public half is of no use
    return await readFile(places.devicePublicKey, 'utf8');
  })().catch((cause: unknown) => {
    throw new Refusal('device-key-missing', 'this device has no key; make one with "wherry key init"', {
      cause,
    });
  });
  context.terminal.out(context.json ? JSON.stringify({ publicKey: armored }) : armored.trimEnd());
}

/** @throws Refusal `device-unsupported` */
async function run(args: readonly string[], input = ''): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = execFile('systemd-creds', args, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(
          new Refusal(
            'device-unsupported',
            `systemd-creds cannot seal the key: ${stderr.trim() || error.message}`,
            {
              cause: error,
            },
          ),
        );
    });
    child.stdin?.on('error', () => undefined); // its stderr explains why it ended
    child.stdin?.end(input);
  });
}
