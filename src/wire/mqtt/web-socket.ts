import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { createWebSocketStream, WebSocket } from 'ws';

/** Loaded only for a ws: or wss: address, which most devices do not have. */

/**
 * ws collects a message before it passes it on, so the packet gate cannot drop parts of one. This
 * is above the limit of the gate, and equals the maximum packet size that a device announces on
 * MQTT 5.
 */
const mostMessageBytes = 2 * 1024 * 1024;

/**
 * The bytes of MQTT in binary messages of WebSocket (MQTT 5 §6) over a socket that is open or about
 * to be.
 */
export function overWebSocket(url: string, socket: Socket): Duplex {
  const webSocket = new WebSocket(url, 'mqtt', {
    createConnection: () => socket,
    maxPayload: mostMessageBytes,
    perMessageDeflate: false,
  });
  const stream = createWebSocketStream(webSocket);
  // A handshake that fails leaves the socket open.
  stream.once('close', () => socket.destroy());
  return stream;
}
