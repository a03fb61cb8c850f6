import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { parseConfig } from '../../../device/agent/index.ts';
import { places } from '../../../device/host/index.ts';
import { nodeDisk } from '../../../device/store/index.ts';
import type { EnrolmentPath } from '../../../wire/enrolment/index.ts';
import type { Context } from '../../context.ts';
import { makeDirectories, replaceEnrolled } from '../../enrol-tree.ts';
import { unbroken } from '../../terminal.ts';
import type { EnrolFlags } from './enrol.ts';

const certPath: EnrolmentPath = '/etc/wherry/device.pem';
const keyPath: EnrolmentPath = '/etc/wherry/device.key';

/**
 * `wherry enrol --renew`: installs the next certificate of this device. The key stays, so one
 * rename is enough, and a running wherryd loads the file by itself.
 *
 * @throws Refusal `input-invalid` for a certificate of another device or key, or one that does not
 *   last longer than the present one; `device-unsupported` without root; `usage`
 */
export async function renewCertificate(
  context: Context,
  file: string,
  { root = '/', key }: EnrolFlags,
): Promise<void> {
  if (!key) throw new Refusal('usage', '--renew never makes a key; leave out --no-key');
  if (root === '/' && process.getuid?.() !== 0)
    throw new Refusal(
      'device-unsupported',
      'only root can install a certificate; give --root DIR for the tree of another device',
    );
  const { device, broker } = parseConfig(await read(join(root, places.config)));
  if (broker.cert !== certPath || broker.key !== keyPath)
    throw new Refusal(
      'input-invalid',
      broker.cert === undefined
        ? 'wherry.toml names no certificate for the broker (broker.cert), so there is none to renew'
        : `wherry.toml names other files than ${certPath} and ${keyPath}: replace the certificate by "mv" from the same file system`,
    );
  const pem = await read(file);
  const next = certificateIn(pem, file);
  const present = await read(join(root, certPath));
  const expires = new Date(next.validTo).toISOString();
  const outcome = pem === present ? 'unchanged' : 'renewed';
  if (outcome === 'renewed') {
    requireNext(device, next, file, await read(join(root, keyPath)));
    requireLater(next, certificateIn(present, join(root, certPath)), file);
    const content = Buffer.from(pem);
    await unbroken(context.terminal, async () => {
      await makeDirectories(root, new Map([[certPath, content]])); // refuses links
      await replaceEnrolled(nodeDisk(), root, certPath, content);
    });
  }
  const { terminal } = context;
  if (context.json) terminal.out(JSON.stringify({ device, outcome, expires }));
  else if (outcome === 'unchanged')
    terminal.out(`${device} has this very certificate already, until ${expires}`);
  else
    terminal.out(
      `${device} has a certificate until ${expires}; wherryd uses it from its next connection on, and needs no restart`,
    );
}

/** Refuses now what the broker or TLS would refuse later. */
function requireNext(device: string, next: X509Certificate, file: string, key: string): void {
  if (!next.subject.split('\n').includes(`CN=${device}`))
    throw new Refusal(
      'input-invalid',
      `${file} is for ${next.subject.replaceAll('\n', ', ')}, and this device is ${device}`,
    );
  let isOfKey: boolean;
  try {
    isOfKey = next.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new Refusal('input-invalid', `${keyPath} is not a key in PEM without a passphrase`, { cause });
  }
  if (!isOfKey)
    throw new Refusal(
      'input-invalid',
      `${file} is of another key than ${keyPath}: make it from ${certPath} of this device`,
    );
}

/** A copy of an old file must not replace a newer one. The check needs no clock. */
function requireLater(next: X509Certificate, present: X509Certificate, file: string): void {
  if (Date.parse(next.validTo) > Date.parse(present.validTo)) return;
  throw new Refusal(
    'input-invalid',
    `${file} expires at ${next.validTo}, and the certificate that is in place at ${present.validTo}`,
  );
}

function certificateIn(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Refusal('input-invalid', `${file} is not a certificate in PEM`, { cause });
  }
}

async function read(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(file, cause);
  });
}
