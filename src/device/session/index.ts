/**
 * The MQTT session of a device: presence, reconnecting, desired states in, reports out. It passes
 * on the bytes of desired states without parsing them.
 */
export { DeviceSession } from './device-session.ts';
export type { KeptEvents } from './outbox.ts';
export { type Broker, SeveralBrokers } from './several-brokers.ts';
