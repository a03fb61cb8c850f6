import type { NetworkFacts } from './network-facts.ts';
import { type NetworkList, takes } from './network-list.ts';
import { isNone, type PodNetwork } from './pod-network.ts';

/** The outcome of `resource/network-bandwidth`. */
export interface NetworkLimit {
  readonly outcome: 'enforced' | 'ignored';
  readonly detail: string;
}

/** Arguments of the capability `bandwidth`: bits, and bits per second. */
export interface BandwidthArguments {
  readonly ingressRate: number;
  readonly ingressBurst: number;
  readonly egressRate: number;
  readonly egressBurst: number;
}

/** Plugins that create a veth pair, which the bandwidth plugin can limit. */
const limitable = new Set(['bridge', 'ptp']);

/** The outcome of a limit in bytes per second in this network. */
export function networkLimit(
  network: PodNetwork,
  facts: NetworkFacts,
  bytesPerSecond: bigint,
): NetworkLimit & { readonly bandwidth?: BandwidthArguments } {
  if (network.kind === 'host') {
    return { outcome: 'ignored', detail: 'the pod shares the network of the host, which is not limited' };
  }
  if (network.kind === 'none' || isNone(network)) {
    return { outcome: 'enforced', detail: 'the pod has no network but loopback' };
  }
  const { list } = network;
  if (limitingPlugin(list).length === 0 && !list.plugins.some((plugin) => takes(plugin, 'bandwidth'))) {
    return { outcome: 'ignored', detail: `the network ${list.name} cannot be limited` };
  }
  if (!facts.plugins.has('bandwidth')) {
    return { outcome: 'ignored', detail: 'the CNI plugin bandwidth is not installed' };
  }
  return {
    outcome: 'enforced',
    detail: `${bytesPerSecond} bytes per second in each direction, loopback exempt`,
    bandwidth: bandwidthArguments(bytesPerSecond),
  };
}

/** The plugin to add to a list that has no limiting plugin and can be limited. */
export function limitingPlugin(list: NetworkList): NetworkList['plugins'] {
  if (list.plugins.some((plugin) => takes(plugin, 'bandwidth'))) return [];
  const [first] = list.plugins;
  return first !== undefined && limitable.has(first.type)
    ? [{ type: 'bandwidth', capabilities: { bandwidth: true } }]
    : [];
}

/**
 * A packet that is larger than the burst never passes. This is the largest packet that the kernel
 * forwards as one.
 */
const leastBurstBits = 64n * 1024n * 8n;
/** The kernel counts the burst in 32 bits of bytes. */
const mostBurstBits = (1n << 32n) * 4n;

function bandwidthArguments(bytesPerSecond: bigint): BandwidthArguments {
  const rate = bytesPerSecond * 8n;
  const fiftieth = rate / 50n;
  const burst =
    fiftieth < leastBurstBits ? leastBurstBits : fiftieth > mostBurstBits ? mostBurstBits : fiftieth;
  // A rate beyond 2^53 limits no device.
  const bits = Number(rate > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : rate);
  return { ingressRate: bits, ingressBurst: Number(burst), egressRate: bits, egressBurst: Number(burst) };
}
