/**
 * The MQTT side of a device: topics, codec, presence, reconnect policy, and the session that holds them together; the
 * transport and the codec serve the operator's side too. It carries bytes of desired states without looking inside, and
 * knows nothing of pods or images.
 */
export type * from '../wire/report/report.ts';
export { DeviceSession, type ConnectionState, type DeviceSessionOptions } from '../device/session/index.ts';
export { MqttTransport, parseBrokerUrl, type BrokerAddress } from '../wire/mqtt/index.ts';
export { foldPresence } from '../wire/report/index.ts';
export { defaultReconnectPolicy, type LossReason, type ReconnectPolicy } from '../device/session/index.ts';
export {
  decodeEvent,
  decodePresence,
  decodeReport,
  encodeEvent,
  encodePresence,
  encodeReport,
} from '../wire/report/index.ts';
export {
  deviceTopics,
  fleetFilter,
  parseDeviceTopic,
  type DeviceTopicKind,
  type DeviceTopics,
} from '../wire/report/index.ts';
export {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Transport,
} from '../wire/mqtt/index.ts';
