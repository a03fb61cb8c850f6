import type { BundleNetwork } from './bundle.ts';
import type { CompiledPod, PodInput } from './compiled-pod.ts';
import {
  type HostPort,
  hostOnly,
  networkLimit,
  pluginChain,
  type PodNetwork,
  procAddresses,
  translationRules,
} from '../network/index.ts';
import { attachScriptPath, type PodPlaces } from './places.ts';
import { networkUnit } from './network-unit.ts';

/** A pod with its chosen network. */
export interface NetworkedPod {
  readonly input: PodInput;
  readonly places: PodPlaces;
  readonly network: PodNetwork;
}

/**
 * Compiles the unit that attaches the pod to its network, and the unit's files. A pod in the host's
 * network or in none has no such unit.
 */
export function compileAttachment(
  { input, places, network }: NetworkedPod,
  ports: readonly HostPort[],
  limits: readonly (bigint | undefined)[],
  sysctl: Readonly<Record<string, string>>,
): Pick<CompiledPod, 'units' | 'files'> {
  if (network.kind !== 'attached') return { units: [], files: [] };
  const { name, uuid, host } = input;
  const facts = host.network ?? hostOnly;
  const least = limits.filter((limit) => limit !== undefined).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))[0];
  const bandwidth = least === undefined ? undefined : networkLimit(network, facts, least).bandwidth;
  const chain = pluginChain(network.list, { ports, ...(bandwidth === undefined ? {} : { bandwidth }) });
  return {
    units: [
      {
        name: places.networkUnit,
        text: networkUnit({
          ...{ podName: name, hostname: hostname(name), uuid, places, host },
          ...{ network: network.list.name, bridge: network.list.bridge },
        }),
      },
    ],
    files: [
      { path: attachScriptPath, content: facts.attachScript, mode: 0o644 },
      {
        path: 'network/ports',
        content: ports.flatMap(hostPortLines).join(''),
        mode: 0o644,
      },
      ...(network.list.translated ?? []).map((subnet) => ({
        path: `network/rules-${subnet.family}`,
        content: translationRules(uuid, subnet, ports),
        mode: 0o644,
      })),
      ...(Object.keys(sysctl).length === 0
        ? []
        : [{ path: 'network/sysctl', content: sysctlLines(sysctl), mode: 0o644 }]),
      ...chain.map(({ type, text }, index) => ({
        path: `network/${String(index + 10)}-${type}.json`,
        content: text,
        // The operator's configuration may have secrets.
        mode: 0o600,
      })),
    ],
  };
}

/** Each line has a file below /proc/sys and its value. */
function sysctlLines(sysctl: Readonly<Record<string, string>>): string {
  return Object.entries(sysctl)
    .map(([key, value]) => `${key.replaceAll('.', '/')} ${value}\n`)
    .join('');
}

/**
 * Ports that must be free on the host when the pod is attached. Each line has protocol, port, port
 * and addresses as in /proc/net, and name.
 */
function hostPortLines({ name, protocol, hostPort, count, hostIp }: HostPort): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const port = hostPort + index;
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    return `${protocol} ${port} ${hex} ${procAddresses(hostIp)} ${name}\n`;
  });
}

export function bundleNetwork({ network, places, input: { host } }: NetworkedPod): BundleNetwork {
  return network.kind === 'attached'
    ? { kind: 'attached', netns: places.netns, names: `${host.directories.run}/names/${network.list.name}` }
    : network;
}

/** The name of the network in reports. */
export function networkName(network: PodNetwork): string {
  return network.kind === 'attached' ? network.list.name : network.kind;
}

/** HOST_NAME_MAX is 64, a DNS label has at most 63. */
export function hostname(podName: string): string {
  return podName.slice(0, 63).replace(/-+$/, '');
}
