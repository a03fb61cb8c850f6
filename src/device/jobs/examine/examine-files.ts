import { boolean, bytes, integer, list, map, oneOf, optional, text } from '../../../core/cbor/index.ts';
import type { ExamineContext } from '../../../wire/trust/openpgp.ts';
import { jobFiles } from '../index.ts';

/** What the examining unit reads: `request.cbor`. */
export interface ExamineRequest {
  readonly message: Uint8Array;
  readonly context: ExamineContext;
}

/** What it leaves in `verdict.cbor` when it accepts the message. */
export interface AcceptingVerdict {
  readonly ok: true;
  readonly outcome: 'new' | 'same';
  /** The bytes that were signed. */
  readonly payload: Uint8Array;
  readonly signedBy: readonly string[];
}

export const examineFiles = jobFiles<ExamineRequest, AcceptingVerdict>({
  what: 'examination',
  names: { job: 'request.cbor', result: 'verdict.cbor' },
  job: map({
    message: bytes(1 << 19),
    context: map({
      keys: list(text(1 << 18), { max: 64 }),
      copies: optional(list(text(1 << 18), { max: 64 })),
      fleet: text(128),
      device: text(128),
      trusted: map({ version: integer(0), payloadSha256: text(64), issued: integer(0) }),
      time: map({ nowSeconds: integer(0), clockTrusted: boolean }),
    }),
  }),
  done: map({
    ok: oneOf(true),
    outcome: oneOf('new', 'same'),
    payload: bytes(1 << 18),
    signedBy: list(text(128), { max: 8 }),
  }),
  /** A message of 256 KiB, the keys of a device twice, and slack. */
  maxBytes: 3 << 20,
});
