import { parseAcName, type AcName } from '../../image/appc/index.ts';
import {
  CborError,
  decodeCbor,
  encodeCbor,
  integer,
  map,
  oneOf,
  optional,
  parsed,
  readFields,
  text,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { DeviceTime } from './judge.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/**
 * A request to one device for what a pod wrote to the journal, signed like a command. It is
 * answered once, within one boot of the device, and ends at its deadline.
 */
export interface LogRequest {
  readonly format: 1;
  /** No other document has this key: a request is never taken for a command, or the reverse. */
  readonly ask: 'logs';
  readonly fleet: AcName;
  readonly device: AcName;
  /**
   * The boot of the device in which it is answered: the device keeps its marks of earlier requests
   * for one boot.
   */
  readonly boot: string;
  /** Seconds since 1970. */
  readonly issued: number;
  /** The deadline of the whole answer, in seconds since 1970; at most an hour after `issued`. */
  readonly expires: number;
  readonly pod: AcName;
  /** All apps of the pod without it. */
  readonly app?: AcName;
  /** Seconds since 1970. */
  readonly since?: number;
  /** How many of the newest lines to send. */
  readonly lines?: number;
  /** Whether to send what is written until the deadline. */
  readonly follow?: true;
  /** How much text is sent, in bytes. */
  readonly limitBytes: number;
}

export const logLimits = { seconds: 3600, bytes: 1 << 20, lines: 100_000 } as const;

const maxRequestBytes = 2048;
const acName = parsed(text(64), parseAcName);
/** The last second of the year 9999. */
const maxSeconds = 253_402_300_799;

const logRequest = map({
  format: oneOf(1),
  ask: oneOf('logs'),
  fleet: acName,
  device: acName,
  boot: text(64),
  issued: integer(0, maxSeconds),
  expires: integer(0, maxSeconds),
  pod: acName,
  app: optional(acName),
  since: optional(integer(0, maxSeconds)),
  lines: optional(integer(0, logLimits.lines)),
  follow: optional(oneOf(true)),
  limitBytes: integer(1, logLimits.bytes),
});

/**
 * The payload to sign.
 * @throws {Refusal} `request-malformed` for a request that no device would accept
 */
export function encodeLogRequest(request: LogRequest): VerifiedPayload {
  const payload = encodeCbor(request) as VerifiedPayload; // made here
  decodeLogRequest(payload);
  return payload;
}

/** @throws {Refusal} `request-malformed`, with the path of the invalid field */
export function decodeLogRequest(payload: VerifiedPayload): LogRequest {
  try {
    const value = decodeCbor(payload, { maxBytes: maxRequestBytes, maxDepth: 1 });
    const request = readFields(value, logRequest, 'log request');
    const seconds = request.expires - request.issued;
    if (seconds < 1 || seconds > logLimits.seconds)
      throw new CborError(
        `log request: it ends ${seconds} s after it is issued; 1 to ${logLimits.seconds} are allowed`,
      );
    return request;
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new Refusal('request-malformed', error.message, { cause: error });
  }
}

/** What a request is judged by. */
export interface LogJudgement {
  readonly fleet: string;
  readonly device: string;
  readonly boot: string;
  readonly time: DeviceTime;
  /** Seconds since 1970 at which the root of trust expires; absent on a device without one. */
  readonly rootExpires?: number;
}

/**
 * Decides whether a verified request may be answered. Only wherryd knows whether it was answered
 * before.
 *
 * @throws {Refusal} `wrong-fleet`, `wrong-device`, `request-replayed`, `expired`, `root-expired`
 */
export function judgeLogRequest(request: LogRequest, judgement: LogJudgement): void {
  const { fleet, device, boot, time, rootExpires } = judgement;
  if (request.fleet !== fleet)
    throw new Refusal('wrong-fleet', `the request is for fleet ${request.fleet}; this device is of ${fleet}`);
  if (request.device !== device)
    throw new Refusal('wrong-device', `the request is for device ${request.device}; this is ${device}`);
  if (request.boot !== boot)
    throw new Refusal(
      'request-replayed',
      'the request is for another boot of this device, which has been restarted since; ask again',
    );
  // A command without a clock is obeyed, because refusing it would strand the device. A request for
  // logs can be sent again when the clock is set.
  if (!time.clockTrusted)
    throw new Refusal(
      'expired',
      'the clock of this device is not set, so the request may be past its deadline; ask again later',
    );
  if (time.nowSeconds >= request.expires)
    throw new Refusal(
      'expired',
      `the request ended at ${isoTime(request.expires)}; it is ${isoTime(time.nowSeconds)} on this device`,
    );
  if (rootExpires !== undefined && time.nowSeconds >= rootExpires)
    throw new Refusal('root-expired', `the root of trust expired at ${isoTime(rootExpires)}`);
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
