import { Refusal } from '../../core/refusal/index.ts';
import { procAddresses } from './addresses.ts';
import type { DeclaredPorts } from './host-ports.ts';

/** The tables of /proc/net with the sockets of the host: name → text; none that cannot be read. */
export type SocketTables = ReadonlyMap<string, string>;

/** Those tables. */
export const socketTables = ['tcp', 'tcp6', 'udp', 'udp6'] as const;

/**
 * `sl: address:port remote:0000 state`. 0A is a socket that listens, 07 one of UDP without a peer.
 */
const socketLine = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:0000 (0A|07) /gm;

/**
 * Refuses host ports on which a process of the host listens. attach-network checks the same once
 * more, but by then the pods of the previous set have been stopped.
 *
 * @throws Refusal pod-port-taken
 */
export function refuseTakenPorts(ports: DeclaredPorts, tables: SocketTables): void {
  for (const { field, protocol, first, last, hostIp } of ports) {
    const addresses = procAddresses(hostIp);
    for (const [table, text] of tables) {
      if (!table.startsWith(protocol)) continue;
      for (const [, address = '', hex = '', state] of text.matchAll(socketLine)) {
        const port = Number.parseInt(hex, 16);
        if (port < first || port > last || (state === '0A') !== (protocol === 'tcp')) continue;
        if (addresses !== '-' && !addresses.split(',').includes(address)) continue;
        throw new Refusal(
          'pod-port-taken',
          `${field}: ${port}/${protocol} is taken by a process of the host; stop it or choose another port`,
        );
      }
    }
  }
}
