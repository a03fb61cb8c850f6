import { createHash } from 'node:crypto';
import { decodeDesiredState } from './desired-state-codec.ts';
import type { DesiredState } from './desired-state.ts';
import { decodeEnvelope } from './envelope.ts';
import { judgeDesiredState, type Judgement, type Verdict } from './judge.ts';
import { verifyEnvelope } from './command-signature.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/** What a message is examined against. */
export interface ExamineContext extends Pick<Judgement, 'trusted' | 'fleet' | 'device' | 'time' | 'root'> {
  /** Armored public deploy keys of the fleet. */
  readonly keys: readonly string[];
  /** How many different keys must sign; 1 when absent. */
  readonly threshold?: number;
  /**
   * Other keys of the device and revocation certificates: what they say counts for the deploy keys,
   * too.
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
};

/**
 * From the bytes of a message to a desired state that may be obeyed. The order is the defence: size
 * and form of the envelope, then the signature over bytes that nobody has parsed, then their
 * meaning, then whether it is for this device and newer than what it knows.
 *
 * @throws {Refusal} with any code of the class `command` except `superseded`.
 */
export async function examineMessage(message: Uint8Array, context: ExamineContext): Promise<Examined> {
  const envelope = decodeEnvelope(message);
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
  return { ...verdict, desired, payload, payloadSha256, signedBy: fingerprints };
}
