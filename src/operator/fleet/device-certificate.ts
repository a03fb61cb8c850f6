import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal, unreadableFile } from '../../core/refusal/index.ts';
import { withScratch } from '../build/index.ts';
import { certificatesOf, type DeviceCredentials, readGiven } from './given-credentials.ts';

/**
 * Client certificates of devices, made by openssl: wherry does not implement X.509. The common name
 * is the name of the device: rules of brokers compare it with the device's in a topic
 * (docs/brokers.md).
 */

/** The authority that signs, as PEM files. */
export interface Authority {
  /** Its certificate, and after it those of the authorities above it. */
  readonly caCert: string;
  readonly caKey: string;
  /** How long a certificate is valid, unless the authority's own ends before. */
  readonly days: number;
  readonly nowSeconds: number;
}

const secondsInADay = 86_400;

/** A new key and its certificate. @throws Refusal `input-invalid` for what openssl refuses */
export async function signedCertificate(device: string, authority: Authority): Promise<DeviceCredentials> {
  const issuer = await issuerOf(authority);
  return await inPrivateDirectory(async (at) => {
    await sign(at, device, authority, issuer);
    return { cert: await withChain(at('cert'), issuer), key: await readFile(at('key'), 'utf8') };
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
  const issuer = await issuerOf(authority);
  const of = `the present certificate of ${device}`;
  const old = parsed(present, of);
  if (old.subject !== `CN=${device}`)
    throw new Refusal(
      'input-invalid',
      `${of} is for ${old.subject.replaceAll('\n', ', ')}, not for CN=${device}`,
    );
  if (!old.verify(issuer.own.publicKey))
    throw new Refusal(
      'input-invalid',
      `${of} is not signed by ${authority.caCert}: renew it with the authority that signed it, or enrol the device again`,
    );
  return await inPrivateDirectory(async (at) => {
    await writeFile(at('public'), old.publicKey.export({ type: 'spki', format: 'pem' }));
    await sign(at, device, authority, issuer, ['-force_pubkey', at('public')]);
    return await withChain(at('cert'), issuer);
  });
}

interface Issuer {
  readonly own: X509Certificate;
  /**
   * PEM of the certificates that a device presents beside its own: a broker knows the authority at
   * the top, and none of those between.
   */
  readonly between: string;
  readonly days: number;
}

/** @throws Refusal `input-invalid` for an authority whose certificates no broker would accept */
async function issuerOf({ caCert, days, nowSeconds }: Authority): Promise<Issuer> {
  const text = await readGiven(caCert, 'the certificate of the authority');
  const own = parsed(text, caCert);
  const isTop = own.issuer === own.subject;
  if (!own.ca && !isTop)
    throw new Refusal(
      'input-invalid',
      `${caCert} is the certificate of ${own.subject.replaceAll('\n', ', ')}, which is not an authority: it can sign none`,
    );
  const daysLeft = Math.floor((Date.parse(own.validTo) / 1000 - nowSeconds) / secondsInADay);
  if (daysLeft < 1)
    throw new Refusal('input-invalid', `the authority ${caCert} expires at ${own.validTo}: renew it first`);
  const between = certificatesOf(text).filter(({ issuer, subject }) => issuer !== subject);
  return { own, between: between.map(String).join(''), days: Math.min(days, daysLeft) };
}

async function withChain(file: string, { between }: Issuer): Promise<string> {
  return `${await readFile(file, 'utf8')}${between}`;
}

async function sign(
  at: (file: string) => string,
  device: string,
  { caCert, caKey }: Authority,
  { days }: Issuer,
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
  const running = promisify(execFile)('openssl', args);
  // It reads the passphrase of a key from the terminal. Without one it would wait for this pipe.
  running.child.stdin?.end();
  await running.catch((cause: unknown) => {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string };
    if (code === 'ENOENT')
      throw new Refusal('not-found', 'there is no program openssl; install it', { cause });
    // openssl also tells its progress there.
    const lines = stderr.trim().split('\n');
    const said =
      lines.find((line) => !/self-signature ok$|^subject=|^Enter pass phrase/.test(line)) ?? String(cause);
    const hint = /^Enter pass phrase/m.test(stderr)
      ? '; the key has a passphrase: run this at a terminal, where openssl asks for it'
      : '';
    throw new Refusal('input-invalid', `openssl could not make the certificate: ${said}${hint}`, { cause });
  });
}
