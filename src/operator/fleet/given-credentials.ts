import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Refusal, unreadableFile } from '../../core/refusal/index.ts';

/** A client certificate with those of the authorities between it and the broker's, and its key. */
export interface DeviceCredentials {
  readonly cert: string;
  readonly key: string;
}

/** extendedKeyUsage of a certificate that a client may present (RFC 5280 §4.2.1.12). */
const clientAuth = '1.3.6.1.5.5.7.3.2';

/**
 * The certificates of a file, each as PEM and nothing else: no text around them, and no private
 * key, which some tools write into the same file.
 */
export function certificatesOf(text: string): readonly X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** @throws Refusal `not-found`, `input-invalid` */
export async function readGiven(file: string, what: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`${what} ${file}`, cause);
  });
}

/**
 * A certificate and a key that were made elsewhere.
 *
 * @throws Refusal `input-invalid` for what a device could not use
 */
export async function givenCredentials(
  certFile: string,
  keyFile: string,
  nowSeconds: number,
): Promise<DeviceCredentials> {
  const certText = await readGiven(certFile, 'the certificate');
  const key = keyOf(await readGiven(keyFile, 'the key'), keyFile);
  const chain = chainOf(certText, certFile);
  const [own, ...others] = chain;
  if (own === undefined)
    throw new Refusal(
      'input-invalid',
      `${certFile} holds no certificate in PEM; give the device's own first`,
    );
  if (!own.checkPrivateKey(key)) {
    const later = others.some((one) => one.checkPrivateKey(key));
    const why = later
      ? `is not the first in ${certFile}: put it before those of the authorities`
      : `${certFile} is of another key than ${keyFile}`;
    throw new Refusal('input-invalid', `the certificate ${why}`);
  }
  if (Date.parse(own.validTo) <= nowSeconds * 1000)
    throw new Refusal('input-invalid', `the certificate ${certFile} expired at ${own.validTo}`);
  return {
    cert: chain.map(String).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function chainOf(text: string, file: string): readonly X509Certificate[] {
  try {
    return certificatesOf(text);
  } catch (cause) {
    throw new Refusal('input-invalid', `${file} has a damaged certificate`, { cause });
  }
}

function keyOf(text: string, file: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (cause) {
    // wherryd has nobody who could enter a passphrase.
    const why = /ENCRYPTED/.test(text)
      ? `is locked by a passphrase, which a device cannot enter: write an open copy with "openssl pkey -in ${file} -out FILE"`
      : 'is not a private key in PEM';
    throw new Refusal('input-invalid', `${file} ${why}`, { cause });
  }
}

/**
 * What an operator may not expect of the certificate of a device.
 *
 * @param until seconds since 1970 until which it was to be valid
 */
export function certificateNotes(device: string, cert: Uint8Array, until: number): readonly string[] {
  const own = new X509Certificate(cert);
  const subject = own.subject.replaceAll('\n', ', ');
  const notes: string[] = [];
  if (!own.subject.split('\n').includes(`CN=${device}`))
    notes.push(
      `the certificate is for ${subject}, not for CN=${device}: brokers that take the device's name from it give it the rights of another`,
    );
  // With the type of the option in Node 20, an absent list is undefined.
  if ((own.keyUsage as readonly string[] | undefined)?.includes(clientAuth) === false)
    notes.push('the certificate may not be used by clients (extendedKeyUsage): most brokers refuse it');
  if (Date.parse(own.validTo) / 1000 < until)
    notes.push(`the certificate ends within a day of its authority's, at ${own.validTo}`);
  return notes;
}

/**
 * The password of a file, without the end of its line.
 *
 * @throws Refusal `input-invalid` for a file that holds something else
 */
export async function givenPassword(file: string): Promise<string> {
  const password = (await readGiven(file, 'the password')).replace(/\r?\n$/, '');
  if (password === '') throw new Refusal('input-invalid', `the password ${file} is empty`);
  if (/[\r\n\0]/.test(password))
    throw new Refusal('input-invalid', `the password ${file} has several lines; give a file of one line`);
  return password;
}
