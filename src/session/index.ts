/**
 * The MQTT side of a device: topics, codec, presence, reconnect policy, and the session that holds them together; the
 * transport and the codec serve the operator's side too. It carries bytes of desired states without looking inside; of
 * deployments and pods it knows only what a report says of them.
 */
export type * from './report.ts';
export { DeviceSession, type ConnectionState, type DeviceSessionOptions } from './device-session.ts';
export { MqttTransport, parseBrokerUrl, type BrokerAddress } from './mqtt-transport.ts';
export { foldPresence } from './presence.ts';
export { defaultReconnectPolicy, type LossReason, type ReconnectPolicy } from './reconnect-policy.ts';
export {
  decodeEvent,
  decodePresence,
  decodeReport,
  encodeEvent,
  encodePresence,
  encodeReport,
} from './report-codec.ts';
export {
  deviceTopics,
  fleetFilter,
  parseDeviceTopic,
  type DeviceTopicKind,
  type DeviceTopics,
} from './topics.ts';
export {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Transport,
} from './transport.ts';
