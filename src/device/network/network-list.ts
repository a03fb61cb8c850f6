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
/** Formats in which every plugin gets the result of those before it, the newest first. */
const versions = ['1.1.0', '1.0.0', '0.4.0'];
/** All keys of a list. wherry never calls CHECK and GC, so it complies with any value of these. */
const flags = ['disableCheck', 'disableGC', 'loadOnlyInlinedPlugins'];
const keys = ['cniVersion', 'cniVersions', 'name', 'plugins', ...flags];
/** Keys that a runtime adds to the configuration of a plugin. */
const reserved = /^(runtimeConfig|prevResult|cni\.dev\/.*)$/;

/**
 * Reads the operator's file `/etc/wherry/networks/<name>.conflist`.
 * @param hasDirectory whether there are files in `/etc/wherry/networks/<name>/`, where other
 *   runtimes look for more plugins
 * @throws Refusal config-invalid, with file and key
 */
export function readNetworkList(name: string, text: string, hasDirectory = false): NetworkList {
  const invalid = (why: string, cause?: unknown) =>
    new Refusal('config-invalid', `/etc/wherry/networks/${name}.conflist: ${why}`, { cause });
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  if (!isObject(list)) throw invalid('is not a configuration list of CNI');
  const unknown = Object.keys(list).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw invalid(`${unknown} is not a key of a configuration list`);
  const { cniVersion, cniVersions = [], name: inside, plugins } = list;
  if (inside !== name) throw invalid(`name takes ${JSON.stringify(name)}, the name of the file`);
  if (!Array.isArray(cniVersions) || !cniVersions.every((version) => typeof version === 'string')) {
    throw invalid('cniVersions takes a list of versions');
  }
  // The highest one that the runtime supports (CNI 1.1.0, "Version considerations").
  const chosen = versions.find((version) => version === cniVersion || cniVersions.includes(version));
  if (chosen === undefined) {
    const key = cniVersions.length > 0 ? 'cniVersions takes at least' : 'cniVersion takes';
    throw invalid(`${key} one of ${versions.toReversed().join(', ')}`);
  }
  const flag = flags.find((key) => key in list && typeof list[key] !== 'boolean');
  if (flag !== undefined) throw invalid(`${flag} takes true or false`);
  if (hasDirectory && list['loadOnlyInlinedPlugins'] !== true) {
    throw invalid(
      `the plugins in the directory ${name} beside it are not used; move them into plugins, or set loadOnlyInlinedPlugins to true`,
    );
  }
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > 16) {
    throw invalid('plugins takes a list of 1 to 16 plugins');
  }
  const read = plugins.map((plugin: unknown, index) => {
    if (!isObject(plugin) || typeof plugin['type'] !== 'string' || !pluginType.test(plugin['type'])) {
      throw invalid(`plugins/${index}/type takes the name of a plugin such as "macvlan"`);
    }
    const key = Object.keys(plugin).find((one) => reserved.test(one));
    if (key !== undefined) throw invalid(`plugins/${index}/${key} is set by wherry; remove it`);
    return withLeasesInMemory({ ...plugin, type: plugin['type'] });
  });
  return {
    name,
    cniVersion: chosen,
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
