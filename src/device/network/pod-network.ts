import { isAcName, labelValue, type App, type PodManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { familyOf } from './addresses.ts';
import { declaredPorts, hostPorts, type DeclaredPorts, type HostPort } from './host-ports.ts';
import type { NetworkFacts } from './network-facts.ts';
import { type NetworkList, readNetworkList } from './network-list.ts';
import { ownBridge } from './own-bridge.ts';

/** The network that a pod is in. */
export type PodNetwork =
  /** The host's, shared with it. */
  | { readonly kind: 'host' }
  /** Only loopback. */
  | { readonly kind: 'none' }
  /** A network namespace of its own, attached by CNI plugins. */
  | { readonly kind: 'attached'; readonly list: NetworkList };

const annotation = 'wherry/network';

/** The network `none` where the namespace has a name. */
const loopbackOnly: NetworkList = { name: 'none', cniVersion: '1.0.0', takesPorts: false, plugins: [] };

/**
 * The network that the annotation `wherry/network` of a pod manifest names, else the device's
 * default.
 * @param named whether the namespace needs a name under which a socket can be opened in it; then a
 *   pod in `none` is attached, too, with loopback only
 * @throws Refusal pod-manifest-invalid, pod-network-unknown, pod-network-forbidden, config-invalid
 *   (the operator's list), device-unsupported (a plugin is missing)
 */
export function choosePodNetwork(
  pod: string,
  manifest: Pick<PodManifest, 'annotations'>,
  facts: NetworkFacts,
  named: boolean,
): PodNetwork {
  const written = labelValue(manifest.annotations, annotation);
  const name = written ?? facts.whenUnsaid;
  const from =
    written === undefined
      ? `pod ${pod} names no network, and network.default of wherry.toml is ${name}`
      : `pod ${pod}: annotation ${annotation}: ${JSON.stringify(name.slice(0, 80))}`;
  if (name === 'host') {
    if (facts.allowHost) return { kind: 'host' };
    throw new Refusal(
      'pod-network-forbidden',
      `${from}: network.allow_host of wherry.toml on this device is false; give the pod another network`,
    );
  }
  if (name === 'none') {
    return named ? attached(`${from} and wherry/metadata`, loopbackOnly, facts) : { kind: 'none' };
  }
  if (name === 'bridge') {
    if (facts.subnet6 !== undefined && !facts.ipv6) {
      throw new Refusal(
        'device-unsupported',
        `${from}: network.subnet6 of wherry.toml is ${facts.subnet6}, and the kernel has no IPv6; remove network.subnet6`,
      );
    }
    return attached(from, ownBridge(facts), facts);
  }
  if (!isAcName(name)) {
    throw new Refusal(
      'pod-manifest-invalid',
      `${from}: expected "host", "none", "bridge" or the name of a network`,
    );
  }
  const why = facts.unreadable?.get(name);
  if (why !== undefined) throw new Refusal('config-invalid', why);
  const text = facts.lists.get(name);
  if (text === undefined) {
    const known = ['host', 'none', 'bridge', ...facts.lists.keys()].join(', ');
    throw new Refusal(
      'pod-network-unknown',
      `${from}: this device has no such network; it has ${known}, and others come from /etc/wherry/networks`,
    );
  }
  return attached(from, readNetworkList(name, text, facts.withDirectory?.has(name)), facts);
}

/** Whether only the pod itself can reach it. */
export function isNone(network: PodNetwork): boolean {
  return network.kind === 'none' || (network.kind === 'attached' && network.list === loopbackOnly);
}

/**
 * The ports of a pod: host ports that are forwarded to it, or ports that it declares in the host's
 * own network.
 */
export function portsOf(
  pod: string,
  network: PodNetwork,
  manifest: PodManifest,
  apps: readonly App[],
): { readonly mapped: readonly HostPort[]; readonly declared: DeclaredPorts } {
  if (network.kind === 'host') return { mapped: [], declared: declaredPorts(pod, apps) };
  const mapped = hostPorts(pod, manifest, apps);
  const [first] = mapped;
  if (first !== undefined) {
    const field = `pod ${pod}: ports/${first.name}/hostPort`;
    if (network.kind === 'none' || network.list === loopbackOnly) {
      throw new Refusal(
        'pod-manifest-invalid',
        `${field}: the pod is in the network none, which no port leads to`,
      );
    }
    const six = mapped.find(({ hostIp }) => hostIp !== undefined && familyOf(hostIp) === 6);
    if (six !== undefined && network.list.translated?.every(({ family }) => family === 4) === true) {
      throw new Refusal(
        'device-unsupported',
        `pod ${pod}: ports/${six.name}/hostIP: ${six.hostIp} is an IPv6 address, and the network ${network.list.name} of this device has none; set network.subnet6 in its wherry.toml`,
      );
    }
    if (!network.list.takesPorts) {
      throw new Refusal(
        'pod-manifest-invalid',
        `${field}: the network ${network.list.name} has no plugin with the capability portMappings, such as portmap`,
      );
    }
  }
  return {
    mapped,
    declared: mapped.map(({ name, protocol, hostPort, count, hostIp }) => ({
      field: `pod ${pod}: ports/${name}/hostPort`,
      ...{ protocol, first: hostPort, last: hostPort + count - 1 },
      ...(hostIp === undefined ? {} : { hostIp }),
    })),
  };
}

function attached(from: string, list: NetworkList, facts: NetworkFacts): PodNetwork {
  const types = [...list.plugins.map(({ type }) => type), ...list.plugins.flatMap(ipamOf)];
  const missing = types.find((type) => !facts.plugins.has(type));
  if (missing !== undefined) {
    throw new Refusal(
      'device-unsupported',
      `${from}: takes the CNI plugin ${missing}, which is not installed; install containernetworking-plugins`,
    );
  }
  return { kind: 'attached', list };
}

function ipamOf({ ipam }: NetworkList['plugins'][number]): readonly string[] {
  const type = typeof ipam === 'object' && ipam !== null && 'type' in ipam ? ipam.type : undefined;
  return typeof type === 'string' && type !== '' ? [type] : [];
}
