import { parseUuid } from '../../image/appc/index.ts';
import {
  boolean,
  CborError,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  readCbor,
  readFields,
  tagged,
  text,
  type CborValue,
  type Reader,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { DeploymentEvent, DeviceReport, Presence } from './report.ts';
import { most, sendable, shortenings } from './sendable.ts';
import { wireBytes } from './wire-text.ts';

/**
 * The messages of a device as bytes and back. The reading side is the operator's: a device may be
 * compromised, so its messages are bounded like any other input, and control characters never reach
 * a terminal.
 */

/**
 * 16 pods of 16 apps with all their isolators take less than a third of this, 32 less than two
 * thirds.
 */
const maxReportBytes = 64 * 1024;
const maxSmallBytes = 4 * 1024;

/**
 * The report as bytes that `decodeReport` accepts, whatever its texts and counts are.
 * @param takesBytes what the broker accepts; if even the shortest report is longer, it is returned
 *   anyway
 */
export function encodeReport(report: DeviceReport, takesBytes = Infinity): Uint8Array {
  const limitBytes = Math.min(takesBytes, maxReportBytes);
  let bytes: Uint8Array = new Uint8Array();
  for (const shorter of shortenings) {
    bytes = encodeCbor(sendable(shorter(report, limitBytes)));
    if (bytes.length <= limitBytes) break;
  }
  return bytes;
}

/** The event as bytes that `decodeEvent` accepts, whatever its texts are. */
export function encodeEvent(event: DeploymentEvent): Uint8Array {
  return encodeCbor(sendable(event));
}

export function encodePresence(presence: Presence): Uint8Array {
  return encodeCbor(sendable(presence));
}

/** @throws Refusal `input-invalid` */
export function decodeReport(bytes: Uint8Array): DeviceReport {
  return decode(bytes, maxReportBytes, report, 'report');
}

/** @throws Refusal `input-invalid` */
export function decodeEvent(bytes: Uint8Array): DeploymentEvent {
  return decode(bytes, maxSmallBytes, event, 'event');
}

/** @throws Refusal `input-invalid` */
export function decodePresence(bytes: Uint8Array): Presence {
  return decode(bytes, maxSmallBytes, presence, 'presence');
}

/** @throws Refusal `input-invalid` */
export function decode<T>(bytes: Uint8Array, maxBytes: number, reader: Reader<T>, what: string): T {
  try {
    return readFields(readCbor(bytes, { maxBytes, maxDepth: 6 }), reader, what);
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new Refusal('input-invalid', `a device sent a ${what} that cannot be read: ${error.message}`, {
      cause: error,
    });
  }
}

/** Text without control characters: it is printed on an operator's terminal. */
export function line(maxBytes: number): Reader<string> {
  const bounded = text(maxBytes);
  return (value: CborValue, path: string) => {
    const read = bounded(value, path);
    if (/\p{Cc}/u.test(read)) throw new CborError(`${path}: has control characters`);
    return read;
  };
}

const name = line(wireBytes.name);
const sentence = line(wireBytes.sentence);
const count = integer(0);
const seconds = integer(0);

const group = optional(name);
const underWay = map({
  version: integer(1),
  group,
  phase: oneOf('fetch', 'stage', 'wait', 'activate', 'probation'),
  why: optional(sentence),
  receivedBytes: optional(count),
  totalBytes: optional(count),
  step: optional(sentence),
});
const failedEnd = map({
  version: integer(1),
  group,
  phase: oneOf('rolled-back', 'refused', 'superseded'),
  code: name,
  message: sentence,
});
const deployment = tagged('phase', {
  fetch: underWay,
  stage: underWay,
  wait: underWay,
  activate: underWay,
  probation: underWay,
  committed: map({ version: integer(1), group, phase: oneOf('committed') }),
  'rolled-back': failedEnd,
  refused: failedEnd,
  superseded: failedEnd,
});

const refused = map({
  code: name,
  message: sentence,
  at: seconds,
  version: optional(integer(0)),
  group,
});

const app = map({
  name,
  imageId: name,
  state: name,
  pid: optional(count),
  restarts: count,
  lastResult: name,
  oomKills: count,
  memoryBytes: optional(count),
  memoryPeakBytes: optional(count),
  memoryMaxBytes: optional(count),
  cpuUsec: optional(count),
  tasks: optional(count),
  probe: optional(map({ state: oneOf('starting', 'passing', 'failing'), detail: sentence })),
});

const isolator = map({
  app: name,
  name,
  outcome: oneOf('enforced', 'modified', 'ignored'),
  detail: sentence,
});

const pod = map({
  name,
  uuid: parsed(text(36), parseUuid),
  healthy: boolean,
  apps: list(app, { max: most.apps }),
  isolators: list(isolator, { max: most.isolators }),
  network: optional(map({ name, addresses: list(name, { max: most.addresses }) })),
});

const withdrawn = optional(oneOf(true));

const report: Reader<DeviceReport> = map({
  format: oneOf(1),
  fleet: name,
  device: name,
  bootId: name,
  seq: count,
  at: seconds,
  wherry: name,
  trustedVersion: count,
  withdrawn,
  currentVersion: count,
  group,
  groups: optional(list(map({ name, trustedVersion: count, withdrawn }), { max: most.groups })),
  labels: optional(list(map({ name, value: name }), { max: most.labels })),
  deployment: optional(deployment),
  root: optional(map({ version: integer(1), expires: integer(0) })),
  refused: optional(refused),
  pods: list(pod, { max: most.pods }),
  capabilities: list(map({ name, available: boolean, detail: sentence }), {
    max: most.capabilities,
  }),
  damaged: optional(list(map({ imageId: name, name, message: sentence }), { max: most.damaged })),
  broker: optional(map({ url: name, at: integer(1), of: integer(1) })),
});

const presence: Reader<Presence> = map({
  format: oneOf(1),
  bootId: name,
  connection: integer(1),
  up: boolean,
});

const answer = { format: oneOf(1), bootId: name, at: seconds, version: count, group };
const failedAnswer = map({
  ...answer,
  outcome: oneOf('rolled-back', 'refused', 'superseded'),
  code: name,
  message: sentence,
});
const event: Reader<DeploymentEvent> = tagged('outcome', {
  committed: map({ ...answer, outcome: oneOf('committed') }),
  'rolled-back': failedAnswer,
  refused: failedAnswer,
  superseded: failedAnswer,
});
