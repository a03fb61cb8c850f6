import { once } from 'node:events';
import { connect } from 'node:net';

/**
 * Connects with a keepalive and sends nothing more. Milliseconds until the broker ends the
 * connection, or ten periods.
 */
export async function silentClient(url: string, keepaliveSeconds: number): Promise<number> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  const id = Buffer.from('silent');
  const variable = Buffer.from([
    0,
    4,
    ...Buffer.from('MQTT'),
    4,
    2,
    0,
    keepaliveSeconds,
    0,
    id.length,
    ...id,
  ]);
  socket.write(Buffer.from([0x10, variable.length, ...variable]));
  await once(socket, 'data');
  const began = performance.now();
  const tooLong = setTimeout(() => socket.destroy(), keepaliveSeconds * 10_000);
  await once(socket, 'close');
  clearTimeout(tooLong);
  return performance.now() - began;
}
