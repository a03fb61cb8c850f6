/** Why there is no connection; what decides how the next attempt is delayed. */
export type LossReason =
  | 'closed' // an open connection ended, or the broker closed it without a reason
  | 'unreachable' // refused, timed out, no such name: the broker or the way to it
  | 'no-network' // this device has no route or no address: nobody else is burdened by an attempt
  | 'tls' // the handshake failed
  | 'credentials' // bad user name, password, certificate or client identifier; not authorized; banned
  | 'busy' // the server says that it is busy, shutting down or unavailable
  | 'quota' // a quota or the rate of connections is exceeded
  | 'too-large' // a packet is larger than the broker takes
  | 'taken-over' // another client uses this identity
  | 'protocol'; // something that is no MQTT of the configured version
