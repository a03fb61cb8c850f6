import type { HostPort } from './host-ports.ts';
import { type NetworkList, takes } from './network-list.ts';
import { type BandwidthArguments, limitingPlugin } from './network-limit.ts';

/** The standard input of one plugin; `prevResult` is added when it runs. */
export interface PluginConfig {
  readonly type: string;
  /** One line of JSON that begins with `{`. */
  readonly text: string;
}

/** The arguments of a pod for its network. */
export interface AttachmentArguments {
  readonly ports: readonly HostPort[];
  readonly bandwidth?: BandwidthArguments;
}

/**
 * The configuration of each plugin of an attachment, in the order of ADD (CNI specification,
 * "Deriving execution configuration from plugin configuration").
 */
export function pluginChain(
  list: NetworkList,
  { ports, bandwidth }: AttachmentArguments,
): readonly PluginConfig[] {
  const mapped = list.translated === undefined ? ports : ports.filter(({ protocol }) => protocol === 'udp');
  const portMappings = mapped.flatMap(({ protocol, hostPort, podPort, count, hostIp }) =>
    Array.from({ length: count }, (_, index) => ({
      hostPort: hostPort + index,
      containerPort: podPort + index,
      protocol,
      ...(hostIp === undefined ? {} : { hostIP: hostIp }),
    })),
  );
  const added = bandwidth === undefined ? [] : limitingPlugin(list);
  return [...list.plugins, ...added].flatMap((plugin): PluginConfig[] => {
    const runtimeConfig = {
      ...(takes(plugin, 'portMappings') && portMappings.length > 0 ? { portMappings } : {}),
      ...(takes(plugin, 'bandwidth') && bandwidth !== undefined ? { bandwidth } : {}),
    };
    // It takes time and has no effect without a port.
    if (plugin.type === 'portmap' && portMappings.length === 0) return [];
    const { capabilities: _, ...passed } = plugin;
    const config = {
      ...passed,
      // Those of the list, also where the plugin has its own.
      cniVersion: list.cniVersion,
      name: list.name,
      ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
    };
    return [{ type: plugin.type, text: `${JSON.stringify(config)}\n` }];
  });
}
