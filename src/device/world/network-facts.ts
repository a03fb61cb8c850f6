import { join } from 'node:path';
import { readRegular } from '../../core/files/index.ts';
import { isRefusal, Refusal, unreadableFile } from '../../core/refusal/index.ts';
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
  const unreadable = new Map<string, string>();
  const withDirectory = new Set<string>();
  for (const file of await disk.list(places.networks)) {
    if (!file.endsWith('.conflist')) continue;
    const name = file.slice(0, -'.conflist'.length);
    try {
      lists.set(name, listIn(join(places.networks, file)));
    } catch (error) {
      // Only a pod that names the network is refused.
      const path = join(places.networks, file);
      unreadable.set(name, (isRefusal(error) ? error : unreadableFile(path, error)).message);
      continue;
    }
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
    unreadable,
    withDirectory,
    attachScript: script === undefined ? '' : Buffer.from(script).toString('utf8'),
  };
}

function listIn(path: string): string {
  const bytes = readRegular(path);
  if (bytes.length <= maxFileBytes) return bytes.toString('utf8');
  throw new Refusal('config-invalid', `${path} is larger than ${maxFileBytes} bytes`);
}
