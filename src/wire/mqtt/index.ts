/**
 * MQTT transport for both ends: connecting, the gate that bounds incoming packets, and the reasons
 * of lost connections. It does not interpret payloads.
 */
export { acknowledged, acknowledgeWithinMs } from './acknowledged.ts';
export { parseBrokerUrl } from './broker-url.ts';
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
