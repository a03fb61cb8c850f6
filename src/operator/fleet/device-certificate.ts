import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal, unreadableFile } from '../../core/refusal/index.ts';
import { withScratch } from '../build/index.ts';

/**
 * Client certificates of devices, made by openssl: wherry does not implement X.509. The common name
 * is the name of the device: rules of brokers compare it with the device's in a topic
 * (docs/brokers.md).
 */

/** The authority that signs, as PEM files. */
export interface Authority {
  readonly caCert: string;
  readonly caKey: string;
  /** How long a certificate is valid. */
  readonly days: number;
}

/** A new key and its certificate. @throws Refusal `input-invalid` for what openssl refuses */
export async function signedCertificate(
  device: string,
  authority: Authority,
): Promise<{ readonly cert: string; readonly key: string }> {
  return await inPrivateDirectory(async (at) => {
    await sign(at, device, authority);
    return { cert: await readFile(at('cert'), 'utf8'), key: await readFile(at('key'), 'utf8') };
  });
}

/**
 * A new certificate for the key of a device that has a certificate already. The key stays on the
 * device.
 *
 * @param present the certificate that the device has. The authority must have signed it: otherwise
 *   anyone could get their own key certified with a certificate that they made
 * @throws Refusal `input-invalid`
 */
export async function renewedCertificate(
  device: string,
  present: string,
  authority: Authority,
): Promise<string> {
  const caText = await readFile(authority.caCert, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the certificate of the authority ${authority.caCert}`, cause);
  });
  const of = `the present certificate of ${device}`;
  const old = parsed(present, of);
  if (old.subject !== `CN=${device}`)
    throw new Refusal(
      'input-invalid',
      `${of} is for ${old.subject.replaceAll('\n', ', ')}, not for CN=${device}`,
    );
  if (!old.verify(parsed(caText, authority.caCert).publicKey))
    throw new Refusal(
      'input-invalid',
      `${of} is not signed by ${authority.caCert}: renew it with the authority that signed it, or enrol the device again`,
    );
  return await inPrivateDirectory(async (at) => {
    await writeFile(at('public'), old.publicKey.export({ type: 'spki', format: 'pem' }));
    await sign(at, device, authority, ['-force_pubkey', at('public')]);
    return await readFile(at('cert'), 'utf8');
  });
}

async function sign(
  at: (file: string) => string,
  device: string,
  { caCert, caKey, days }: Authority,
  more: readonly string[] = [],
): Promise<void> {
  for (const file of [caCert, caKey])
    await access(file, constants.R_OK).catch((cause: unknown) => {
      throw unreadableFile(`the file ${file} of the authority`, cause);
    });
  await writeFile(at('usage'), 'extendedKeyUsage=clientAuth\nbasicConstraints=critical,CA:FALSE\n');
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl(['req', '-new', ...kind, '-subj', `/CN=${device}`, '-keyout', at('key'), '-out', at('csr')]);
  const authority = ['-CA', caCert, '-CAkey', caKey, '-days', String(days), '-extfile', at('usage')];
  await openssl(['x509', '-req', '-in', at('csr'), ...more, ...authority, '-out', at('cert')]);
}

async function inPrivateDirectory<T>(work: (at: (file: string) => string) => Promise<T>): Promise<T> {
  return await withScratch(join(tmpdir(), 'certificate'), (directory) =>
    work((file) => join(directory, file)),
  );
}

function parsed(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Refusal('input-invalid', `${what} is not a certificate in PEM`, { cause });
  }
}

async function openssl(args: readonly string[]): Promise<void> {
  await promisify(execFile)('openssl', args).catch((cause: unknown) => {
    const lines = (cause as { stderr?: string }).stderr?.trim().split('\n') ?? [];
    // openssl also tells its progress there.
    const said = lines.find((line) => !/self-signature ok$|^subject=/.test(line)) ?? String(cause);
    throw new Refusal('input-invalid', `openssl could not make the certificate: ${said}`, { cause });
  });
}
