import { type AppSummary, changePod, listApps, type PodChange } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import { type Cell, formatTable } from '../../format.ts';

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
