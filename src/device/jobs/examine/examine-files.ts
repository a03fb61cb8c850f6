import {
  boolean,
  bytes,
  CborError,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  type Reader,
  text,
} from '../../../core/cbor/index.ts';
import { parseAcName } from '../../../image/appc/index.ts';
import type { ExamineContext, LogContext, RootContext } from '../../../wire/trust/openpgp.ts';
import { jobFiles } from '../index.ts';

/**
 * The content of `request.cbor`, which the examining unit reads: a command, a root of trust or a
 * request for logs.
 */
export type ExamineRequest =
  | { readonly message: Uint8Array; readonly context: ExamineContext }
  | {
      readonly message: Uint8Array;
      /** The trusted root as the payload that was signed. */
      readonly rootContext: Omit<RootContext, 'trusted'> & { readonly trusted?: Uint8Array };
    }
  | { readonly message: Uint8Array; readonly logContext: LogContext };

/** The content of `verdict.cbor` when the unit accepts the message. */
export interface AcceptingVerdict {
  readonly ok: true;
  readonly outcome: 'new' | 'same' | 'outside';
  /** The bytes that were signed. */
  readonly payload: Uint8Array;
  readonly signedBy: readonly string[];
  /** The secrets whose values are in `values/`, see `valueFile`. */
  readonly secrets?: readonly ReceivedSecret[];
}

/** A secret whose value came with a message. */
export interface ReceivedSecret {
  readonly name: string;
  readonly digest: string;
}

/** The directory of the values of secrets, below that of the examining unit. */
export const valuesDirectory = 'values';

/** The name of the file of a value. The sealing unit takes name and digest from it. */
export function valueFile({ name, digest }: ReceivedSecret): string {
  return `${digest}-${name}`;
}

const time = map({ nowSeconds: integer(0), clockTrusted: boolean });

/** Fields of messages that are judged by deploy keys, for one device. */
const forDevice = {
  keys: list(text(1 << 18), { max: 64 }),
  threshold: optional(integer(1, 64)),
  copies: optional(list(text(1 << 18), { max: 64 })),
  fleet: text(128),
  device: text(128),
};

const commandRequest = map({
  message: bytes(1 << 19),
  context: map({
    ...forDevice,
    group: optional(text(128)),
    untried: optional(oneOf(true)),
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

const rootRequest = map({
  message: bytes(1 << 19),
  rootContext: map({
    trusted: optional(bytes(1 << 17)),
    fleet: text(128),
    time,
    copies: optional(list(text(1 << 18), { max: 64 })),
  }),
});

const logRequest = map({
  message: bytes(1 << 19),
  logContext: map({
    ...forDevice,
    boot: text(128),
    rootExpires: optional(integer(0)),
    time,
  }),
});

const request: Reader<ExamineRequest> = (value, path) => {
  const has = (key: string): boolean => typeof value === 'object' && value !== null && key in value;
  if (has('logContext')) return logRequest(value, path);
  return has('rootContext') ? rootRequest(value, path) : commandRequest(value, path);
};

export const examineFiles = jobFiles<ExamineRequest, AcceptingVerdict>({
  what: 'examination',
  names: { job: 'request.cbor', result: 'verdict.cbor' },
  job: request,
  done: map({
    ok: oneOf(true),
    outcome: oneOf('new', 'same', 'outside'),
    payload: bytes(1 << 18),
    signedBy: list(text(128), { max: 8 }),
    secrets: optional(
      list(map({ name: parsed(text(128), parseAcName), digest: parsed(text(64), parseDigest) }), { max: 32 }),
    ),
  }),
  /** A message of 256 KiB, the keys of a device twice, and slack. */
  maxBytes: 3 << 20,
});

function parseDigest(digest: string): string {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new CborError('not a digest');
  return digest;
}
