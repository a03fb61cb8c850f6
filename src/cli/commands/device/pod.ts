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
  context.terminal.out(
    apps.length === 0
      ? 'there is no pod on this device'
      : formatTable(context.terminal, ['POD', 'APP', 'STATE', 'PID', 'UNIT'], apps.map(cells)),
  );
}

function cells({ pod, app, activeState, subState, pid, unit }: AppSummary): (Cell | string)[] {
  const state = `${activeState} (${subState})`;
  return [
    pod,
    app,
    activeState === 'failed' ? { text: state, colour: 'red' } : state,
    String(pid ?? '-'),
    unit,
  ];
}

/**
 * `wherry pod stop`, `start` and `restart`.
 * @throws Refusal as {@link changePod}
 */
export async function alterPod(context: Context, change: PodChange, pod: string): Promise<void> {
  await changePod(change, pod);
  if (change === 'stop' && !context.json) {
    context.terminal.err(
      `note: ${pod} runs again after a boot, a start of wherryd or the next deployment; to remove it, deploy a set without it\n`,
    );
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
    formatTable(terminal, inspected, rows),
  ].join('\n');
}
