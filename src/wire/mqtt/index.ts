/**
 * MQTT transport for both ends: connecting, the gate that bounds incoming packets, and why a
 * connection was lost. It carries bytes without looking inside.
 */
export { acknowledged, acknowledgeWithinMs } from './acknowledged.ts';
export type { LossReason } from './loss-reason.ts';
export { type BrokerAddress, MqttTransport } from './mqtt-transport.ts';
export {
  type Connection,
  ConnectionLost,
  type ConnectOptions,
  type Message,
  type Qos,
  type Transport,
} from './transport.ts';
