import {
  boolean,
  bytes,
  decodeCbor,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  optional,
  type Reader,
  readFields,
  text,
} from '../../../core/cbor/index.ts';
import type { ExamineContext } from '../../../wire/trust/openpgp.ts';

/** What the examining unit reads: `request.cbor`. */
export interface ExamineRequest {
  readonly message: Uint8Array;
  readonly context: ExamineContext;
}

/** What it leaves: `verdict.cbor`. */
export type ExamineVerdict =
  | {
      readonly ok: true;
      readonly outcome: 'new' | 'same';
      /** The bytes that were signed. */
      readonly payload: Uint8Array;
      readonly signedBy: readonly string[];
    }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** A message of 256 KiB, the keys of a device twice, and slack. */
export const maxExamineFileBytes = 3 << 20;

const request: Reader<ExamineRequest> = map({
  message: bytes(1 << 19),
  context: map({
    keys: list(text(1 << 18), { max: 64 }),
    copies: optional(list(text(1 << 18), { max: 64 })),
    fleet: text(128),
    device: text(128),
    trusted: map({ version: integer(0), payloadSha256: text(64), issued: integer(0) }),
    time: map({ nowSeconds: integer(0), clockTrusted: boolean }),
  }),
});

const accepted: Reader<ExamineVerdict> = map({
  ok: oneOf(true),
  outcome: oneOf('new', 'same'),
  payload: bytes(1 << 18),
  signedBy: list(text(128), { max: 8 }),
});
const refused: Reader<ExamineVerdict> = map({ ok: oneOf(false), code: text(64), message: text(8192) });

const limits = { maxBytes: maxExamineFileBytes, maxDepth: 6 };

export const encodeRequest = (value: ExamineRequest): Uint8Array => encodeCbor(value);
export const encodeVerdict = (value: ExamineVerdict): Uint8Array => encodeCbor(value);

/** @throws {CborError} */
export function decodeRequest(file: Uint8Array): ExamineRequest {
  return readFields(decodeCbor(file, limits), request, 'request');
}

/** @throws {CborError} */
export function decodeVerdict(file: Uint8Array): ExamineVerdict {
  const value = decodeCbor(file, limits);
  const isAccepted = typeof value === 'object' && value !== null && 'ok' in value && value.ok === true;
  return readFields(value, isAccepted ? accepted : refused, 'verdict');
}
