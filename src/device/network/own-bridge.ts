import { leases, type NetworkList } from './network-list.ts';

/** The bridge of the network `bridge`; it goes with the last of its pods. */
const bridge = 'wherry0';

/** The network `bridge`: pods behind the device's own address, which reach each other. */
export function ownBridge(subnet: string): NetworkList {
  return {
    name: 'bridge',
    // The newest that the plugins of Debian 12 and 13 know.
    cniVersion: '1.0.0',
    bridge,
    takesPorts: true,
    translated: [{ family: 4, subnet }],
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        // So a pod reaches itself through its own host port.
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: leases,
          ranges: [[{ subnet }]],
          // With isDefaultGateway the plugin would set the same route twice and fail.
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      // For ports of UDP alone.
      { type: 'portmap', snat: true, capabilities: { portMappings: true } },
    ],
  };
}
