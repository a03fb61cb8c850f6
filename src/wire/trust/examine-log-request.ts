import { verifyEnvelope } from './command-signature.ts';
import { decodeEnvelope } from './envelope.ts';
import { decodeLogRequest, judgeLogRequest, type LogJudgement, type LogRequest } from './log-request.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/** What a request for logs is examined against. */
export interface LogContext extends LogJudgement {
  /** Armored public deploy keys of the fleet: these keys may also request logs. */
  readonly keys: readonly string[];
  /** How many different keys must sign; 1 when absent. */
  readonly threshold?: number;
  /** As in `ExamineContext`. */
  readonly copies?: readonly string[];
}

/**
 * From the bytes of a message to a request that may be answered, in the order of `examineMessage`:
 * envelope, signature, meaning, whether it is for this device and its present boot.
 *
 * @throws {Refusal} with the codes of envelopes and signatures, `request-malformed`, and those of
 *   `judgeLogRequest`
 */
export async function examineLogRequest(
  message: Uint8Array,
  context: LogContext,
): Promise<{
  readonly request: LogRequest;
  readonly payload: VerifiedPayload;
  readonly signedBy: readonly string[];
}> {
  const envelope = decodeEnvelope(message);
  const { payload, fingerprints } = await verifyEnvelope(
    envelope.payload,
    envelope.signatures,
    context.keys,
    context.time,
    context.copies,
    context.threshold,
  );
  const request = decodeLogRequest(payload);
  judgeLogRequest(request, context);
  return { request, payload, signedBy: fingerprints };
}
