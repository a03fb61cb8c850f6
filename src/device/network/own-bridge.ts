import type { NetworkFacts } from './network-facts.ts';
import { leases, type NetworkList } from './network-list.ts';

/** The bridge of the network `bridge`; it is removed with the last of its pods. */
const bridge = 'wherry0';

/** The network `bridge`: its pods share the device's address and reach each other. */
export function ownBridge({ subnet, subnet6 }: Pick<NetworkFacts, 'subnet' | 'subnet6'>): NetworkList {
  const six = subnet6 === undefined ? [] : [subnet6];
  return {
    name: 'bridge',
    // The newest that the plugins of Debian 12 and 13 support.
    cniVersion: '1.0.0',
    bridge,
    takesPorts: true,
    translated: [{ family: 4, subnet }, ...six.map((subnet) => ({ family: 6, subnet }) as const)],
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        // Lets a pod reach itself through its own host port.
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: leases,
          // A pod gets one address of each range.
          ranges: [subnet, ...six].map((one) => [{ subnet: one }]),
          // With isDefaultGateway the plugin would set the same route twice and fail.
          routes: [{ dst: '0.0.0.0/0' }, ...six.map(() => ({ dst: '::/0' }))],
        },
      },
      // Only for UDP ports.
      { type: 'portmap', snat: true, capabilities: { portMappings: true } },
    ],
  };
}
