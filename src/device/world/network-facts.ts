import { join } from 'node:path';
import type { NetworkFacts } from '../network/index.ts';
import type { Disk } from '../store/index.ts';

export interface NetworkPlaces {
  /** Configuration lists of the operator: /etc/wherry/networks */
  readonly networks: string;
  /** The program of a pod's network unit: /usr/lib/wherry/attach-network */
  readonly attachScript: string;
}

/** The directories of plugins: Debian's, and that of an operator. attach-network uses the same. */
const pluginDirectories = ['/usr/lib/cni', '/opt/cni/bin'];
const maxFileBytes = 64 << 10;

/**
 * Reads the networks of this device as they are now: plugins and lists may be added while wherryd
 * runs.
 */
export async function readNetworkFacts(
  disk: Disk,
  places: NetworkPlaces,
  config: Pick<NetworkFacts, 'allowHost' | 'whenUnsaid' | 'subnet' | 'subnet6'>,
): Promise<NetworkFacts> {
  const plugins = new Set<string>();
  for (const directory of pluginDirectories) {
    for (const name of await disk.list(directory)) plugins.add(name);
  }
  const lists = new Map<string, string>();
  const withDirectory = new Set<string>();
  for (const file of await disk.list(places.networks)) {
    if (!file.endsWith('.conflist')) continue;
    const text = await disk.read(join(places.networks, file), maxFileBytes);
    if (text === undefined) continue;
    const name = file.slice(0, -'.conflist'.length);
    lists.set(name, Buffer.from(text).toString('utf8'));
    // A file of this name is no directory, and has no plugins.
    const beside = await disk.list(join(places.networks, name)).catch(() => []);
    if (beside.length > 0) withDirectory.add(name);
  }
  const script = await disk.read(places.attachScript, maxFileBytes);
  return {
    ...config,
    ipv6: (await disk.list('/proc/sys/net/ipv6/conf')).length > 0,
    plugins,
    lists,
    withDirectory,
    attachScript: script === undefined ? '' : Buffer.from(script).toString('utf8'),
  };
}
