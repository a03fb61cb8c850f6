import type { AppReport, IsolatorReport } from '../../wire/report/index.ts';
import { places, readPodAddresses } from '../host/index.ts';
import { type AppUnit, appUnits, unitsOfPod } from './app-units.ts';
import { lastRecord, type SupervisorRecord } from './device-status.ts';
import { type AppSummary, appSummary } from './pods.ts';
import { type AppUsage, usageOf } from './usage.ts';

/** An app, with the facts from systemd, its control group and the last report of wherryd. */
export interface InspectedApp extends Omit<AppSummary, 'pod'>, Omit<AppUsage, 'pod' | 'app' | 'pid'> {
  /** From the last report, as those below; null when the report does not have the app. */
  readonly imageId: string | null;
  readonly restarts: number | null;
  readonly lastResult: string | null;
  /** Also null for an app without a probe. */
  readonly probe: AppReport['probe'] | null;
}

export interface InspectedPod {
  readonly pod: string;
  readonly uuid: string;
  /** From the last report of wherryd; null when the report does not have the pod. */
  readonly healthy: boolean | null;
  readonly network: { readonly name: string; readonly addresses: readonly string[] } | null;
  readonly isolators: readonly IsolatorReport[];
  readonly apps: readonly InspectedApp[];
}

/**
 * The facts of a pod. While one version replaces another, there may be two pods of this name; it
 * returns the one that runs.
 *
 * @throws Refusal `not-found`, `device-unsupported` without systemd or the rights
 */
export async function inspectPod(name: string): Promise<InspectedPod> {
  const units = unitsOfPod(await appUnits(), name);
  return describePod(units, await lastRecord(), usageOf, (network, uuid) =>
    readPodAddresses(places.run, network, uuid),
  );
}

/** @param units of pods of one name, at least one */
export function describePod(
  units: readonly AppUnit[],
  record: SupervisorRecord | undefined,
  usage: (unit: AppUnit) => AppUsage,
  addressesOf: (network: string, uuid: string) => readonly string[],
): InspectedPod {
  const [first] = units;
  const chosen = units.find(({ activeState }) => activeState === 'active') ?? first;
  const { pod = '', uuid = '' } = chosen ?? {};
  const report = record?.report.pods.find((one) => one.uuid === uuid);
  const network = report === undefined ? null : (report.network ?? { name: 'host', addresses: [] });
  return {
    pod,
    uuid,
    healthy: report?.healthy ?? null,
    network:
      network === null || network.name === 'host'
        ? network
        : { name: network.name, addresses: addressesOf(network.name, uuid) },
    isolators: report?.isolators ?? [],
    apps: units
      .filter((unit) => unit.uuid === uuid)
      .map((unit) => describeApp(unit, report?.apps, usage(unit))),
  };
}

function describeApp(
  unit: AppUnit,
  reports: readonly AppReport[] | undefined,
  { pod: _pod, ...usage }: AppUsage,
): InspectedApp {
  const { pod: _, ...summary } = appSummary(unit);
  const report = reports?.find(({ name }) => name === unit.app);
  return {
    ...usage,
    ...summary,
    imageId: report?.imageId ?? null,
    restarts: report?.restarts ?? null,
    lastResult: report?.lastResult ?? null,
    probe: report?.probe ?? null,
  };
}
