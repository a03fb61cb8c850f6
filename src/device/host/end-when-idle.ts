import type { Server } from 'node:net';

/**
 * Closes the server of a socket-activated program after `idleMs` without a connection. systemd
 * keeps the socket and starts the program again.
 */
export function endWhenIdle(server: Server, idleMs: number): void {
  let connections = 0;
  // After a pause of the whole process, Node runs due timers before it accepts what waits.
  const end = () => setImmediate(() => connections === 0 && server.close());
  let idle = setTimeout(end, idleMs);
  server.on('connection', (connection) => {
    clearTimeout(idle);
    connections++;
    connection.once('close', () => {
      connections--;
      if (connections > 0) return;
      clearTimeout(idle);
      idle = setTimeout(end, idleMs);
    });
  });
}
