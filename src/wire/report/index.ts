/**
 * The messages of a device, for both ends: reports, events, presence, topics and their codec. Only
 * an operator decodes reports and events, by report-codec.ts, which is not in the device's package.
 * No I/O.
 */
export type {
  DeploymentEnd,
  DeploymentPhase,
  DeploymentReport,
  DeploymentUnderWay,
} from './deployment-report.ts';
export { encodeEvent, encodeReport } from './encode-report.ts';
export type { IsolatorReport } from './isolator-report.ts';
export {
  decodeLogAnswer,
  encodeLogAnswer,
  type LogAnswer,
  type LogEnd,
  type LogEndReason,
  maxChunkBytes,
} from './log-answer.ts';
export { foldPresence, mustReassert } from './presence.ts';
export { decodePresence, encodePresence } from './presence-codec.ts';
export type {
  AppReport,
  BrokerUse,
  CapabilityReport,
  DamagedImage,
  DeploymentEvent,
  DeviceReport,
  PodReport,
  Presence,
} from './report.ts';
export {
  type AppNumbers,
  decodeTelemetry,
  type DeviceNumbers,
  encodeTelemetry,
  type Telemetry,
} from './telemetry.ts';
export {
  clientIdentifier,
  deviceTopics,
  type DeviceTopics,
  fleetFilter,
  groupTopic,
  parseDeviceTopic,
  parseGroupTopic,
  rootTopic,
} from './topics.ts';
