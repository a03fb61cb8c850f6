import { endWhenIdle } from '../host/index.ts';
import { apiServer } from './api-server.ts';

/** systemd passes the socket as the first descriptor after the standard ones (sd_listen_fds(3)). */
const socket = 3;
const idleMs = 30_000;

/**
 * The program of wherry-api.service. It answers on the socket that systemd opened, and ends after
 * `idleMs` without a connection: systemd keeps the socket and starts it again.
 */
const server = apiServer({ log: (line) => process.stderr.write(`<5>${line}\n`) });
endWhenIdle(server, idleMs);
server.listen({ fd: socket });
