import { Refusal } from '../../core/refusal/index.ts';
import { addressNumber, familyOf } from './addresses.ts';

/** A range of the plugin host-local, both ends included. */
interface AddressRange {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  /** It is never assigned, if it is in the range at all. */
  readonly gateway: bigint;
}

/** Addresses of host-local, of which each pod of the network gets one. */
export interface AddressPool {
  readonly network: string;
  /** Where the plugin keeps its leases: a file for each address. */
  readonly directory: string;
  readonly ranges: readonly AddressRange[];
}

/** An assigned address, and the container to which it is assigned: the UUID of a pod. */
export interface Lease {
  readonly address: string;
  readonly id: string;
}

/** Where host-local keeps leases if its configuration has no `dataDir`. */
const defaultDirectory = '/var/lib/cni/networks';

/**
 * The pools of a plugin's configuration. A configuration that host-local would refuse has none: the
 * plugin itself explains what is wrong with it.
 */
export function addressPools(config: unknown): readonly AddressPool[] {
  const { name, ipam } = record(config);
  const { type, dataDir, ranges, ...legacy } = record(ipam);
  if (type !== 'host-local' || typeof name !== 'string') return [];
  // Before `ranges`, a single range was written into `ipam` itself.
  const sets: readonly unknown[] = [...('subnet' in legacy ? [[legacy]] : []), ...list(ranges)];
  const directory = `${typeof dataDir === 'string' ? dataDir : defaultDirectory}/${name}`;
  return sets.flatMap((set): AddressPool[] => {
    const read = list(set).map(addressRange);
    const valid = read.filter((range) => range !== undefined);
    return read.length === 0 || valid.length < read.length
      ? []
      : [{ network: name, directory, ranges: valid }];
  });
}

/**
 * Refuses pods for which their network has no address. The plugin would refuse them, too, but only
 * when the pods of the previous set have been stopped.
 *
 * @param pods the whole new set
 * @param leases those of each directory
 * @param leaving pods that are stopped before the first of the set is attached
 * @throws Refusal pod-network-failed
 */
export function refuseExhausted(
  pods: readonly { readonly name: string; readonly uuid: string; readonly pools: readonly AddressPool[] }[],
  leases: ReadonlyMap<string, readonly Lease[]>,
  leaving: ReadonlySet<string>,
): void {
  const demand = new Map<string, { pool: AddressPool; needy: string[] }>();
  for (const { name, uuid, pools } of pods) {
    for (const pool of pools) {
      const key = [pool.directory, ...pool.ranges.map(({ first, last }) => `${first}-${last}`)].join();
      const entry = demand.get(key) ?? { pool, needy: [] };
      demand.set(key, entry);
      // A pod that is attached keeps its address, perhaps one of an earlier configuration.
      if (leases.get(pool.directory)?.some(({ id }) => id === uuid) !== true) entry.needy.push(name);
    }
  }
  const ours = new Set(pods.map(({ uuid }) => uuid));
  for (const { pool, needy } of demand.values()) {
    const { network, directory } = pool;
    const held = (leases.get(directory) ?? []).filter(
      (lease) => !leaving.has(lease.id) && isIn(lease.address, pool),
    );
    const count = sizeOf(pool);
    const room = count - BigInt(held.length);
    if (room >= needy.length) continue;
    const others = held.filter(({ id }) => !ours.has(id)).length;
    const where =
      network === 'bridge' ? 'network.subnet of wherry.toml' : `/etc/wherry/networks/${network}.conflist`;
    throw new Refusal(
      'pod-network-failed',
      `pod ${needy[Number(room < 0n ? 0n : room)]}: the network ${network} has ${count} addresses, and ${held.length + needy.length} are needed with this version${others === 0 ? '' : ` (${others} of them by leases in ${directory} of others)`}; enlarge ${where} or choose another network`,
    );
  }
}

/** As host-local completes a range (its range.go, Canonicalize). */
function addressRange(value: unknown): AddressRange | undefined {
  const { subnet, rangeStart, rangeEnd, gateway } = record(value);
  const [address, bits = '', ...others] = typeof subnet === 'string' ? subnet.split('/') : [];
  const base = addressNumber(address);
  if (address === undefined || base === undefined || !/^\d{1,3}$/.test(bits) || others.length > 0)
    return undefined;
  const family = familyOf(address);
  const hostBits = (family === 4 ? 32 : 128) - Number(bits);
  // It takes a gateway and a pod.
  if (hostBits < 2) return undefined;
  const top = base + (1n << BigInt(hostBits)) - 1n;
  const first = rangeStart === undefined ? base + 1n : addressNumber(rangeStart);
  // The last address of an IPv4 network is its broadcast address.
  const last = rangeEnd === undefined ? top - (family === 4 ? 1n : 0n) : addressNumber(rangeEnd);
  const way = gateway === undefined ? base + 1n : addressNumber(gateway);
  if (first === undefined || last === undefined || way === undefined) return undefined;
  return first < base || last > top || first > last ? undefined : { family, first, last, gateway: way };
}

function sizeOf({ ranges }: AddressPool): bigint {
  return ranges.reduce(
    (sum, { first, last, gateway }) => sum + last - first + (gateway >= first && gateway <= last ? 0n : 1n),
    0n,
  );
}

function isIn(address: string, { ranges }: AddressPool): boolean {
  const number = addressNumber(address);
  return (
    number !== undefined &&
    ranges.some(
      ({ family, first, last }) => family === familyOf(address) && number >= first && number <= last,
    )
  );
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
