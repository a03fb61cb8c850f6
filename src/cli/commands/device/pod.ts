import {
  type AppSummary,
  changePod,
  type InspectedPod,
  inspectPod,
  listApps,
  type PodChange,
} from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import { type Cell, formatTable, formatUse, shortImageId } from '../../format.ts';

/** `wherry pod list`: the apps of this device and their states, as systemd knows them. */
export async function listPods(context: Context): Promise<void> {
  const apps = await listApps();
  if (context.json) {
    context.terminal.out(JSON.stringify(apps));
    return;
  }
  context.terminal.out(renderApps(context.terminal, apps));
}

export function renderApps(
  terminal: Pick<Context['terminal'], 'hasColour'>,
  apps: readonly AppSummary[],
): string {
  if (apps.length === 0) return 'there is no pod on this device';
  const head = ['POD', 'APP', 'STATE', 'PID'];
  return apps.every(({ runs }) => runs === null)
    ? formatTable(
        terminal,
        [...head, 'UNIT'],
        apps.map((app) => [...cells(app), app.unit]),
      )
    : formatTable(
        terminal,
        [...head, 'NEXT RUN', 'LAST RUN', 'UNIT'],
        apps.map((app) => [...cells(app), app.runs?.next ?? '-', lastRun(app), app.unit]),
      );
}

/** `exit status 3 at 2026-11-29T15:00:00Z` */
function lastRun({ runs }: Pick<AppSummary, 'runs'>): string {
  if (runs?.lastEnd == null) return '-';
  const { lastResult, exitStatus, lastEnd } = runs;
  return `${exitStatus === null ? (lastResult ?? '') : `exit status ${exitStatus}`} at ${lastEnd}`;
}

function cells({ pod, app, activeState, subState, pid }: AppSummary): (Cell | string)[] {
  const state = `${activeState} (${subState})`;
  return [pod, app, activeState === 'failed' ? { text: state, colour: 'red' } : state, String(pid ?? '-')];
}

/**
 * `wherry pod stop`, `start` and `restart`.
 * @throws Refusal as {@link changePod}
 */
export async function alterPod(context: Context, change: PodChange, pod: string): Promise<void> {
  const isScheduled = await changePod(change, pod);
  if (change === 'stop' && !context.json) {
    const when = isScheduled ? 'by its schedule' : 'after a boot, a start of wherryd or the next deployment';
    context.terminal.err(`note: ${pod} runs again ${when}; to remove it, deploy a set without it\n`);
  }
  if (context.json) context.terminal.out(JSON.stringify({ pod, change }));
}

/** `wherry pod inspect` */
export async function showPod({ json, terminal }: Context, name: string): Promise<void> {
  const pod = await inspectPod(name);
  terminal.out(json ? JSON.stringify(pod) : renderPod(terminal, pod));
}

const inspected = ['APP', 'STATE', 'PID', 'RESTARTS', 'LAST EXIT', 'MEMORY', 'TASKS', 'PROBE', 'IMAGE'];

export function renderPod(terminal: Pick<Context['terminal'], 'hasColour'>, pod: InspectedPod): string {
  const { healthy, network } = pod;
  const health = healthy === null ? 'not in the last report' : healthy ? 'healthy' : 'not healthy';
  const rows = pod.apps.map((app) => [
    app.app,
    `${app.activeState} (${app.subState})`,
    String(app.pid ?? '-'),
    String(app.restarts ?? '-'),
    app.lastResult ?? '-',
    formatUse(app.memoryBytes ?? undefined, app.memoryMaxBytes ?? undefined),
    String(app.tasks ?? '-'),
    app.probe?.state ?? '-',
    app.imageId === null ? '-' : shortImageId(app.imageId),
  ]);
  return [
    `${pod.pod} ${pod.uuid}: ${health}`,
    ...(network === null ? [] : [['network', network.name, ...network.addresses].join(' ')]),
    ...pod.isolators.map(
      ({ app, name, outcome, detail }) =>
        `${app === '' ? 'pod' : `app ${app}`}: ${name} ${outcome}${detail === '' ? '' : `: ${detail}`}`,
    ),
    ...pod.apps.flatMap(({ app, probe }) =>
      probe ? [`app ${app}: probe ${probe.state}: ${probe.detail}`] : [],
    ),
    ...pod.apps.flatMap((app) =>
      app.runs === null ? [] : [`app ${app.app}: next run ${app.runs.next ?? '-'}, last run ${lastRun(app)}`],
    ),
    formatTable(terminal, inspected, rows),
  ].join('\n');
}
