/**
 * The MQTT session of a device: presence, reconnecting, desired states in, reports out. It carries the bytes of desired states
 * without looking inside.
 */
export { type ConnectionState, DeviceSession, type DeviceSessionOptions } from './device-session.ts';
export { defaultReconnectPolicy, type ReconnectPolicy } from './reconnect-policy.ts';
