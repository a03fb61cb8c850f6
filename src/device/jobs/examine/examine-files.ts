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
  parsed,
  type Reader,
  readFields,
  text,
} from '../../../core/cbor/index.ts';
import { alreadyVerified, decodeRoot, encodeRoot, type RootDocument } from '../../../wire/trust/index.ts';
import type { ExamineContext, RootContext } from '../../../wire/trust/openpgp.ts';

/** What the examining unit reads: `request.cbor`. Either a command or a root of trust is examined. */
export type ExamineRequest =
  | { readonly message: Uint8Array; readonly context: ExamineContext }
  | { readonly message: Uint8Array; readonly rootContext: RootContext };

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

const time = map({ nowSeconds: integer(0), clockTrusted: boolean });

const commandRequest: Reader<ExamineRequest> = map({
  message: bytes(1 << 19),
  context: map({
    keys: list(text(1 << 18), { max: 64 }),
    copies: optional(list(text(1 << 18), { max: 64 })),
    fleet: text(128),
    device: text(128),
    threshold: optional(integer(1, 64)),
    trusted: map({
      version: integer(0),
      payloadSha256: text(64),
      issued: integer(0),
      era: optional(integer(1)),
    }),
    root: optional(map({ version: integer(1), expires: integer(0), notBefore: optional(integer(0)) })),
    time,
  }),
});

const rootRequest: Reader<ExamineRequest> = map({
  message: bytes(1 << 19),
  rootContext: map({
    trusted: optional(
      parsed(bytes(1 << 17), (payload): RootDocument => decodeRoot(alreadyVerified(payload, 'saved-state'))),
    ),
    fleet: text(128),
    time,
    copies: optional(list(text(1 << 18), { max: 64 })),
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

export function encodeRequest(value: ExamineRequest): Uint8Array {
  if (!('rootContext' in value)) return encodeCbor(value);
  const { trusted, ...rest } = value.rootContext;
  return encodeCbor({
    message: value.message,
    rootContext: { ...rest, ...(trusted === undefined ? {} : { trusted: encodeRoot(trusted) }) },
  });
}
export const encodeVerdict = (value: ExamineVerdict): Uint8Array => encodeCbor(value);

/** @throws {CborError} */
export function decodeRequest(file: Uint8Array): ExamineRequest {
  const value = decodeCbor(file, limits);
  const isRoot = typeof value === 'object' && value !== null && 'rootContext' in value;
  return readFields(value, isRoot ? rootRequest : commandRequest, 'request');
}

/** @throws {CborError} */
export function decodeVerdict(file: Uint8Array): ExamineVerdict {
  const value = decodeCbor(file, limits);
  const isAccepted = typeof value === 'object' && value !== null && 'ok' in value && value.ok === true;
  return readFields(value, isAccepted ? accepted : refused, 'verdict');
}
