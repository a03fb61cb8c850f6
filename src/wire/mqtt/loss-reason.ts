/** Why there is no connection. The reason decides how long the next attempt is delayed. */
export type LossReason =
  | 'closed' // an open connection ended, or the broker closed it without a reason
  | 'unreachable' // refused, timed out, no such name: the broker or the way to it
  | 'no-network' // this device has no route or no address: an attempt burdens no other machine
  | 'tls' // the handshake failed
  | 'credentials' // bad user name, password, certificate or client identifier; not authorized; banned
  | 'busy' // the server reports that it is busy, shutting down or unavailable
  | 'quota' // a quota or the rate of connections is exceeded
  | 'too-large' // a packet is larger than the broker accepts
  | 'taken-over' // another client uses this identity
  | 'protocol'; // the other side does not speak MQTT of the configured version
