import { parseUuid } from '../../image/appc/index.ts';
import {
  boolean,
  inPlace,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  tagged,
  text,
  type Reader,
} from '../../core/cbor/index.ts';
import { maxReportBytes } from './encode-report.ts';
import { presence } from './presence-codec.ts';
import { line, maxDepth, maxSmallBytes, orUnreadable } from './read-message.ts';
import type { DeploymentEvent, DeviceReport, Presence } from './report.ts';
import { most } from './sendable.ts';
import { wireBytes } from './wire-text.ts';

/**
 * Reads what thousands of devices retain, and their events. That is the operator's part: no program
 * of a device loads it.
 */

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

const readReport = inPlace(report, { maxBytes: maxReportBytes, maxDepth }, 'report');
const readPresence = inPlace(presence, { maxBytes: maxSmallBytes, maxDepth }, 'presence');
const readEvent = inPlace(event, { maxBytes: maxSmallBytes, maxDepth }, 'event');

/** @throws Refusal `input-invalid` */
export function decodeReport(bytes: Uint8Array): DeviceReport {
  return orUnreadable(() => readReport(bytes), 'report');
}

/** As `decodePresence`, for the presence of many devices. @throws Refusal `input-invalid` */
export function decodeManyPresence(bytes: Uint8Array): Presence {
  return orUnreadable(() => readPresence(bytes), 'presence');
}

/** @throws Refusal `input-invalid` */
export function decodeEvent(bytes: Uint8Array): DeploymentEvent {
  return orUnreadable(() => readEvent(bytes), 'event');
}
