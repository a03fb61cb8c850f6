import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { choosePodNetwork, type NetworkFacts } from '../network/index.ts';
import { places, readPodAddresses } from '../host/index.ts';
import type { AcIdentifier } from '../../image/appc/index.ts';
import { lastRecord, type SupervisorRecord } from './device-status.ts';

export interface NetworkSummary {
  readonly name: string;
  /** Why a pod that names it is refused; null when it is not. */
  readonly refused: { readonly code: string; readonly message: string } | null;
  /** Whether pods that name no network use it. */
  readonly isDefault: boolean;
  readonly pods: readonly {
    readonly pod: string;
    readonly uuid: string;
    /** Empty in the host's network. */
    readonly addresses: readonly string[];
  }[];
}

export interface InspectedNetwork extends NetworkSummary {
  /** The CNI plugins that attach a pod; empty for `host` and `none`. */
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
}

/**
 * The networks that pods of this device can name, and the pods that are in them by the last report.
 * @throws Refusal `device-unsupported` when wherryd has not run in this boot
 */
export async function listNetworks(): Promise<readonly NetworkSummary[]> {
  return (await networks()).map(({ plugins: _, ...summary }) => summary);
}

/** @throws Refusal `not-found`, and as {@link listNetworks} */
export async function inspectNetwork(name: string): Promise<InspectedNetwork> {
  const all = await networks();
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const there = all.map((one) => one.name).join(', ');
  throw new Refusal('not-found', `there is no network ${JSON.stringify(name)} here; networks: ${there}`);
}

async function networks(): Promise<readonly InspectedNetwork[]> {
  const record = await lastRecord();
  if (record === undefined) {
    throw new Refusal(
      'device-unsupported',
      'wherryd has not run here since the boot, so which networks it allows is not known; start it with "systemctl start wherryd"',
    );
  }
  // Imported here only: they load the client of D-Bus.
  const { nodeDisk } = await import('../store/index.ts');
  const { readNetworkFacts } = await import('../world/index.ts');
  const facts = await readNetworkFacts(nodeDisk(), places, record.network);
  return describeNetworks(facts, record.report.pods, (network, uuid) =>
    readPodAddresses(places.run, network, uuid),
  );
}

/** Describes each network as a pod that names it would get it. */
export function describeNetworks(
  facts: NetworkFacts,
  pods: SupervisorRecord['report']['pods'],
  addressesOf: (network: string, uuid: string) => readonly string[],
): readonly InspectedNetwork[] {
  const lists = [...facts.lists.keys(), ...(facts.unreadable?.keys() ?? [])];
  return ['host', 'none', 'bridge', ...lists.sort()].map((name) => ({
    name,
    ...attachment(name, facts),
    isDefault: name === facts.whenUnsaid,
    pods: pods
      .filter(({ network }) => (network?.name ?? 'host') === name)
      .map(({ name: pod, uuid }) => ({
        pod,
        uuid,
        addresses: name === 'host' ? [] : addressesOf(name, uuid),
      })),
  }));
}

function attachment(name: string, facts: NetworkFacts): Pick<InspectedNetwork, 'refused' | 'plugins'> {
  const annotations = [{ name: 'wherry/network' as AcIdentifier, value: name }];
  try {
    const network = choosePodNetwork('(any)', { annotations }, facts, false);
    return { refused: null, plugins: network.kind === 'attached' ? network.list.plugins : [] };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { refused: { code: error.code, message: error.message }, plugins: [] };
  }
}
