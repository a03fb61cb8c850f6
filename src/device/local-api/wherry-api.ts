import { apiServer } from './api-server.ts';

/** systemd passes the socket as the first descriptor after the standard ones (sd_listen_fds(3)). */
const socket = 3;
const idleMs = 30_000;

/**
 * The program of wherry-api.service. It answers on the socket that systemd opened, and ends when
 * nobody has asked for a while: systemd keeps the socket and starts it again.
 */
const server = apiServer({ log: (line) => process.stderr.write(`<5>${line}\n`) });
let connections = 0;
const end = () => server.close();
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
server.listen({ fd: socket });
