import { createHash } from 'node:crypto';
import { decodeDesiredState } from './desired-state-codec.ts';
import type { DesiredState } from './desired-state.ts';
import { decodeMessage, secretDigest, type SecretValue } from './confidential.ts';
import { decryptMessage } from './decrypt.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { judgeDesiredState, type Judgement, type Verdict } from './judge.ts';
import { verifyEnvelope } from './command-signature.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/** What a message is examined against. */
export interface ExamineContext extends Pick<
  Judgement,
  'trusted' | 'fleet' | 'device' | 'group' | 'untried' | 'time' | 'root'
> {
  /** Armored public deploy keys of the fleet. */
  readonly keys: readonly string[];
  /** How many different keys must sign; 1 when absent. */
  readonly threshold?: number;
  /**
   * Other keys of the device and revocation certificates; their packets count for the deploy keys.
   */
  readonly copies?: readonly string[];
}

export type Examined = Verdict & {
  readonly desired: DesiredState;
  /** The exact bytes that were signed. */
  readonly payload: VerifiedPayload;
  /** SHA-256 of the payload, lower-case hex. */
  readonly payloadSha256: string;
  /** Fingerprints of the keys that signed, lower-case hex. */
  readonly signedBy: readonly string[];
  /** Values in the message, each named by the payload. */
  readonly secrets: readonly ExaminedSecret[];
};

export interface ExaminedSecret {
  readonly name: string;
  /** As in the payload. */
  readonly digest: string;
  readonly value: Uint8Array;
}

/**
 * From the bytes of a message to a desired state that may be obeyed. The order is the defence: size
 * and form of the envelope, its decryption, then the signature over bytes that nobody has parsed,
 * then their meaning, then whether it is for this device and newer than what it knows. Values of
 * secrets come last: only those that the signed payload names are accepted.
 *
 * @param deviceKey the armored private key of this device; undefined when it has none
 * @throws {Refusal} with any code of the class `command` except `superseded`, and
 *   `device-key-missing`
 */
export async function examineMessage(
  message: Uint8Array,
  context: ExamineContext,
  deviceKey?: string,
): Promise<Examined> {
  const read = decodeMessage(message);
  const envelope =
    read.form === 'open'
      ? { ...read.envelope, secrets: [] }
      : await decryptMessage(read.ciphertext, deviceKey);
  const { payload, fingerprints } = await verifyEnvelope(
    envelope.payload,
    envelope.signatures,
    context.keys,
    context.time,
    context.copies,
    context.threshold,
  );
  const desired = decodeDesiredState(payload);
  const payloadSha256 = createHash('sha256').update(payload).digest('hex');
  const verdict = judgeDesiredState({ ...context, desired, payloadSha256 });
  // A command that is not obeyed needs no values: they are sent again with the share that includes
  // the device.
  const secrets = verdict.outcome === 'outside' ? [] : namedSecrets(envelope.secrets, desired);
  return { ...verdict, desired, payload, payloadSha256, signedBy: fingerprints, secrets };
}

/**
 * The values with the digests of the payload. A value that it does not name is from another message
 * (mix-and-match attack, replay of an old secret).
 *
 * @throws {Refusal} `secret-mismatch`
 */
function namedSecrets(values: readonly SecretValue[], desired: DesiredState): readonly ExaminedSecret[] {
  return values.map((secret) => {
    const digest = secretDigest(secret);
    const { name, value } = secret;
    const isNamed = desired.secrets?.some((wanted) => wanted.name === name && wanted.digest === digest);
    if (isNamed === true) return { name, digest, value };
    throw new Refusal(
      'secret-mismatch',
      `the value of the secret ${name} is not the one that version ${desired.version} was signed with`,
    );
  });
}
