import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** The port of the service at 127.0.0.1 in the network of an app; rkt used the same port. */
const metadataPort = 18112;

/**
 * Length of the device's key, in bytes. The key is made once, and signatures stay valid only with
 * it.
 */
export const metadataKeyBytes = 64;

/**
 * The key that the service uses for the content of the key's file. Anybody can make the tokens of
 * an emptied file, so a damaged one is replaced by a random key, which no token fits.
 */
export function serviceKey(file: Uint8Array | undefined): Uint8Array {
  return file?.length === metadataKeyBytes ? file : randomBytes(metadataKeyBytes);
}

const macDigits = 32;
const tokenForm = new RegExp(`^[0-9a-f]{32}[0-9a-f]{${macDigits}}$`);

/**
 * `AC_METADATA_URL` of a pod. Its last part is the token: the pod's UUID and 128 bits that only the
 * key can produce. No token has to be stored, and it stays the same over reboots.
 */
export function metadataUrl(key: Uint8Array, uuid: string): string {
  const digits = uuid.replaceAll('-', '');
  return `http://127.0.0.1:${metadataPort}/${digits}${macOf(key, digits)}`;
}

/** UUID of the pod that has `token`; undefined when no pod of this device can have it. */
export function podOfToken(key: Uint8Array, token: string): string | undefined {
  if (!tokenForm.test(token)) return undefined;
  const digits = token.slice(0, 32);
  if (!timingSafeEqual(Buffer.from(macOf(key, digits)), Buffer.from(token.slice(32)))) return undefined;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * The signature of a pod over `content`: base64 of an HMAC-SHA512 over the 16 bytes of its UUID and
 * the content.
 */
export function signContent(key: Uint8Array, uuid: string, content: string): string {
  return createHmac('sha512', derived(key, 'content'))
    .update(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
    .update(content)
    .digest('base64');
}

/** Whether the pod with `uuid` has signed `content` on this device. */
export function isSignature(key: Uint8Array, uuid: string, content: string, signature: string): boolean {
  const right = Buffer.from(signContent(key, uuid, content));
  const given = Buffer.from(signature);
  return given.length === right.length && timingSafeEqual(given, right);
}

function macOf(key: Uint8Array, digits: string): string {
  return createHmac('sha256', derived(key, 'token')).update(digits).digest('hex').slice(0, macDigits);
}

/** One key for each purpose: a signature for an app must never be a valid token. */
function derived(key: Uint8Array, purpose: 'token' | 'content'): Buffer {
  return createHmac('sha512', key).update(`wherry metadata ${purpose}`).digest();
}
