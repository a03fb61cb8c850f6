/**
 * The MQTT session of a device: presence, reconnecting, desired states in, reports out. It carries
 * the bytes of desired states without looking inside.
 */
export { DeviceSession } from './device-session.ts';
export { type Broker, SeveralBrokers } from './several-brokers.ts';
