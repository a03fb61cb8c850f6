import { Refusal } from '../../core/refusal/index.ts';
import type { TranslatedSubnet } from './translation.ts';

/**
 * The directory of host-local's leases: in memory, since namespaces and interfaces do not survive a
 * boot either. After a power cut, a lease on the disk would block the next start of the same pod.
 */
export const leases = '/run/wherry/leases';

/** A configuration list (CNI specification 1.0.0, section 1), in the parts that a runtime reads. */
export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  /** Only of wherry's own network: the bridge that is removed with its last pod. */
  readonly bridge?: string;
  /** Only of wherry's own network: addresses that wherry's rules translate, instead of a plugin. */
  readonly translated?: readonly TranslatedSubnet[];
  /** Whether one of the plugins accepts host ports. */
  readonly takesPorts: boolean;
  /** In the order of ADD. Keys that the runtime does not read are passed on unchanged. */
  readonly plugins: readonly (Readonly<Record<string, unknown>> & { readonly type: string })[];
}

/** It names a program and a file. */
const pluginType = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** Formats in which every plugin gets the result of those before it. */
const versions = ['0.4.0', '1.0.0', '1.1.0'];

/**
 * Reads the operator's file `/etc/wherry/networks/<name>.conflist`.
 * @throws Refusal config-invalid, with file and key
 */
export function readNetworkList(name: string, text: string): NetworkList {
  const invalid = (why: string, cause?: unknown) =>
    new Refusal('config-invalid', `/etc/wherry/networks/${name}.conflist: ${why}`, { cause });
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  if (!isObject(list)) throw invalid('is not a configuration list of CNI');
  const { cniVersion, name: inside, plugins } = list;
  if (inside !== name) throw invalid(`name takes ${JSON.stringify(name)}, the name of the file`);
  if (typeof cniVersion !== 'string' || !versions.includes(cniVersion)) {
    throw invalid(`cniVersion takes one of ${versions.join(', ')}`);
  }
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > 16) {
    throw invalid('plugins takes a list of 1 to 16 plugins');
  }
  const read = plugins.map((plugin: unknown, index) => {
    if (!isObject(plugin) || typeof plugin['type'] !== 'string' || !pluginType.test(plugin['type'])) {
      throw invalid(`plugins/${index}/type takes the name of a plugin such as "macvlan"`);
    }
    return withLeasesInMemory({ ...plugin, type: plugin['type'] });
  });
  return {
    name,
    cniVersion,
    takesPorts: read.some((plugin) => takes(plugin, 'portMappings')),
    plugins: read,
  };
}

/** Whether a plugin accepts a capability argument (CNI, CONVENTIONS.md). */
export function takes(plugin: Readonly<Record<string, unknown>>, capability: string): boolean {
  const { capabilities } = plugin;
  return isObject(capabilities) && capabilities[capability] === true;
}

function withLeasesInMemory(plugin: NetworkList['plugins'][number]): NetworkList['plugins'][number] {
  const { ipam } = plugin;
  if (!isObject(ipam) || ipam['type'] !== 'host-local' || 'dataDir' in ipam) return plugin;
  return { ...plugin, ipam: { ...ipam, dataDir: leases } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
