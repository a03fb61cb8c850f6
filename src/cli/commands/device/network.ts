import {
  type InspectedNetwork,
  inspectNetwork,
  listNetworks,
  type NetworkSummary,
} from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import { formatTable } from '../../format.ts';

/** `wherry network list`: the networks that pods of this device can name, and the pods in each. */
export async function showNetworks(context: Context): Promise<void> {
  const networks = await listNetworks();
  const { json, terminal } = context;
  terminal.out(json ? JSON.stringify(networks) : renderNetworks(terminal, networks));
}

export function renderNetworks(
  terminal: Pick<Context['terminal'], 'hasColour'>,
  networks: readonly NetworkSummary[],
): string {
  const rows = networks.map(({ name, isDefault, refused, pods }) => [
    name,
    isDefault ? 'yes' : 'no',
    pods.map(({ pod }) => pod).join(', ') || '-',
    refused === null ? 'ready' : `refused (${refused.code})`,
  ]);
  return formatTable(terminal, ['NETWORK', 'DEFAULT', 'PODS', 'STATE'], rows);
}

/** `wherry network inspect` */
export async function showNetwork(context: Context, name: string): Promise<void> {
  const network = await inspectNetwork(name);
  const { json, terminal } = context;
  terminal.out(json ? JSON.stringify(network) : renderNetwork(network));
}

export function renderNetwork({ name, isDefault, refused, pods, plugins }: InspectedNetwork): string {
  return [
    `${name}: ${refused === null ? 'ready' : `refused (${refused.code}): ${refused.message}`}`,
    ...(isDefault ? ['a pod that names no network is in it'] : []),
    ...plugins.map((plugin) => `plugin ${JSON.stringify(plugin)}`),
    ...pods.map(({ pod, addresses }) => ['pod', pod, ...addresses].join(' ')),
  ].join('\n');
}
