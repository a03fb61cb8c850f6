import { join } from 'node:path';
import type { DeployedPod } from '../deploy/index.ts';
import {
  type AddressPool,
  addressPools,
  type Lease,
  refuseExhausted,
  refuseTakenPorts,
  socketTables,
} from '../network/index.ts';
import type { CompiledPod } from '../pod/index.ts';
import type { Disk } from '../store/index.ts';

/** More than 1,000 sockets; the kernel lists those that listen first. */
const maxTableBytes = 256 << 10;
const maxLeaseBytes = 4096;

/**
 * Refuses pods whose attachment would fail for want of a host port or an address, before any pod is
 * stopped for them.
 *
 * @param compiled the whole new set
 * @param running pods that run now; those that are not in the set are stopped
 * @throws Refusal pod-port-taken, pod-network-failed
 */
export async function checkAttachments(
  compiled: readonly CompiledPod[],
  { disk, running }: { readonly disk: Disk; readonly running: readonly DeployedPod[] },
): Promise<void> {
  const has = (pods: readonly { readonly uuid: string }[], uuid: string): boolean =>
    pods.some((pod) => pod.uuid === uuid);
  const leaving = running.filter(({ uuid }) => !has(compiled, uuid));
  // An app in the host's network may listen on any port, and gives it back when it is stopped.
  if (leaving.every(({ network }) => network !== undefined)) {
    const ports = compiled
      .filter(({ uuid }) => !has(running, uuid))
      .flatMap(({ ports: { mapped, ports } }) => ports.filter(({ opened }) => mapped || opened));
    if (ports.length > 0) refuseTakenPorts(ports, await readTables(disk));
  }
  // Scheduled pods rarely run at once.
  const pods = compiled
    .filter(({ timer }) => timer === undefined)
    .map(({ name, uuid, files }) => ({ name, uuid, pools: files.flatMap(poolsOf) }));
  const directories = new Set(pods.flatMap(({ pools }) => pools.map(({ directory }) => directory)));
  const leases = new Map<string, readonly Lease[]>();
  for (const directory of directories) leases.set(directory, await readLeases(disk, directory));
  refuseExhausted(pods, leases, new Set(leaving.map(({ uuid }) => uuid)));
}

/** The pools of the configurations of a pod's plugins. */
function poolsOf({ path, content }: CompiledPod['files'][number]): readonly AddressPool[] {
  return /^network\/.*\.json$/.test(path) ? addressPools(JSON.parse(content)) : [];
}

async function readTables(disk: Pick<Disk, 'readAt'>): Promise<ReadonlyMap<string, string>> {
  const tables = new Map<string, string>();
  for (const name of socketTables) {
    // Without a table nothing is known: attach-network looks again.
    const bytes = await disk.readAt(`/proc/net/${name}`, 0, maxTableBytes).catch(() => undefined);
    if (bytes !== undefined) tables.set(name, Buffer.from(bytes).toString('latin1'));
  }
  return tables;
}

/**
 * host-local writes the ID of the container to the first line of a file, whose name is the address.
 */
async function readLeases(disk: Pick<Disk, 'read' | 'list'>, directory: string): Promise<readonly Lease[]> {
  const leases: Lease[] = [];
  for (const name of await disk.list(directory)) {
    const bytes = await disk.read(join(directory, name), maxLeaseBytes).catch(() => undefined);
    const [id = ''] = bytes === undefined ? [] : Buffer.from(bytes).toString('latin1').split(/\s/, 1);
    if (id !== '') leases.push({ address: name, id });
  }
  return leases;
}
