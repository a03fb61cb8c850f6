import { Refusal } from '../../core/refusal/index.ts';

/**
 * Maps errors of the OpenPGP library to wherry's sentences about a key. The first match counts, so
 * the most specific comes first: the library appends the cause to a general sentence. The texts are
 * those of openpgp 6.3.
 */
const keySentences: readonly (readonly [RegExp, (...groups: string[]) => string])[] = [
  [/Unknown critical notation: (.*)$/s, (name) => `a signature on it has the critical notation ${printable(name)}, which wherry does not know`],
  [/Unknown critical signature subpacket type (\d+)/, (type) => `a signature on it has the critical subpacket ${type}, which wherry does not know`],
  [/Hash algorithm too weak/, () => 'a signature on it uses a hash that is too weak; renew it with gpg --quick-set-expire'],
  [/Insecure hash algorithm: (\S+)/, (hash) => `a signature on it uses ${hash}, which is too weak; renew it with gpg --quick-set-expire`],
  [/revoked with an authorized key/, () => 'it names another key that may revoke it, which wherry does not support'],
  [/Signature creation time is in the future/, () => 'its self-signature is from the future'],
  [/Signature is expired/, () => 'its self-signature has expired'],
  [/Primary key is revoked/, () => 'it is revoked'],
  [/Primary key is expired/, () => 'it has expired'],
  [/(?:Primary user|Self-certification) is revoked/, () => 'all its user IDs are revoked'],
  [/Could not find primary user/, () => 'it has no user ID; export it again where it was made'],
  [/Subkey is revoked/, () => 'its signing subkey is revoked'],
  [/Subkey is expired/, () => 'its signing subkey has expired'],
  [/Missing embedded signature/, () => 'its signing subkey does not confirm that it belongs to the key'],
  [/None of the key flags is set/, () => 'it does not say what it may be used for (key flags)'],
  [/self-?\s?signature.*(?:verification failed|did not match)/s, () => 'its self-signature does not match'],
  [/binding signature.*(?:verification failed|did not match)/s, () => 'the signature that binds its subkey does not match'],
  [/No self-certifications|Could not find valid self-?\s?signature/, () => 'it has no self-signature; export it again where it was made'],
  [/Could not find valid subkey binding/, () => 'its subkey is not bound to it'],
  [/Could not find valid signing key packet in key \S+$/, () => 'it may not sign'],
]; // prettier-ignore

/** Errors that mean only that a signature is not by this key over these bytes. */
const mismatch =
  /^(?:Signature verification failed|Signed digest did not match|Signature was not issued by the given public key|Public key algorithm used to sign)/;

/**
 * Why a key does not count, from the library's error.
 *
 * @throws {Refusal} `device-unsupported` when a part of the library is missing: no key can be
 *   judged then.
 */
export function whyKeyFails(error: unknown): string {
  refuseMissingPart(error);
  const message = messageOf(error);
  for (const [pattern, sentence] of keySentences) {
    const match = pattern.exec(message);
    if (match !== null) return sentence(...match.slice(1));
  }
  return `the OpenPGP library refuses it: ${printable(message)}`;
}

/**
 * Why a signature over data cannot be judged although it may be valid, from the library's error;
 * else undefined.
 */
export function whyNotJudged(error: unknown): string | undefined {
  const message = messageOf(error);
  const [, notation] = /Unknown critical notation: (.*)$/s.exec(message) ?? [];
  if (notation !== undefined)
    return `has the critical notation ${printable(notation)}, which wherry does not know`;
  const [, type] = /Unknown critical signature subpacket type (\d+)/.exec(message) ?? [];
  if (type !== undefined) return `has the critical subpacket ${type}, which wherry does not know`;
  return /Hash algorithm too weak/.test(message) ? 'uses a hash that is too weak for its key' : undefined;
}

/** Whether the library found that a signature is by another key or over other bytes. */
export function isMismatch(error: unknown): boolean {
  return mismatch.test(messageOf(error));
}

/**
 * A module that cannot be loaded is a fault of the installation. It must not be reported as one of
 * a key or of a signature.
 *
 * @throws {Refusal} `device-unsupported`
 */
export function refuseMissingPart(error: unknown): void {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    if (isMissing || cause.message.endsWith('is not part of this build of wherry')) {
      throw new Refusal(
        'device-unsupported',
        'a part of the OpenPGP library is missing; install wherry again',
        { cause: error },
      );
    }
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Names of notations are free text from the creator of the key. */
function printable(text = ''): string {
  return text.replace(/\p{C}/gu, '?').slice(0, 100);
}
