import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Refusal } from '../../../core/refusal/index.ts';
import { places } from '../../../device/host/index.ts';
import type { Context } from '../../context.ts';
import { type Cell, formatTable } from '../../format.ts';
import { type AppUnit, appUnits, unitsOfPod } from '../../../device/local-api/index.ts';

export type PodChange = 'stop' | 'start' | 'restart';

/** `wherry pod list`: the apps of this device and their states, as systemd knows them. */
export async function listPods(context: Context): Promise<void> {
  const units = await appUnits(places.units);
  if (context.json) {
    const apps = units.map(({ pod, app, activeState, subState, mainPid, unit }) => ({
      ...{ pod, app, activeState, subState, pid: mainPid === 0 ? null : mainPid, unit },
    }));
    context.terminal.out(JSON.stringify(apps));
    return;
  }
  context.terminal.out(
    units.length === 0
      ? 'there is no pod on this device'
      : formatTable(context.terminal, ['POD', 'APP', 'STATE', 'PID', 'UNIT'], units.map(cells)),
  );
}

function cells({ pod, app, activeState, subState, mainPid, unit }: AppUnit): (Cell | string)[] {
  const state = `${activeState} (${subState})`;
  const pid = mainPid === 0 ? '-' : String(mainPid);
  return [pod, app, activeState === 'failed' ? { text: state, colour: 'red' } : state, pid, unit];
}

/**
 * `wherry pod stop`, `start` and `restart`: has systemd do it with all apps of a pod. Its network
 * and its namespaces go along. wherryd does not act against it while it runs, but it makes the
 * committed pods run whenever it starts.
 *
 * @throws Refusal `not-found` for a pod that is not there, `activation-failed` when a unit does not
 *   start, `device-unsupported` when this machine or user cannot do it
 */
export async function changePod(context: Context, change: PodChange, pod: string): Promise<void> {
  const units = podCommand(await appUnits(places.units), change, pod);
  if (process.getuid?.() !== 0)
    throw new Refusal('device-unsupported', `only root can ${change} a pod; try sudo`);
  try {
    await promisify(execFile)('systemctl', units);
  } catch (cause) {
    const { stderr = '' } = cause as { readonly stderr?: string };
    throw new Refusal(
      change === 'stop' ? 'device-unsupported' : 'activation-failed',
      `systemd did not ${change} the pod ${pod}: ${stderr.trim().replaceAll(/\s+/g, ' ')}`,
      { cause },
    );
  }
  if (change === 'stop' && !context.json) {
    context.terminal.err(
      `note: ${pod} runs again after a boot, a start of wherryd or the next deployment; to remove it, deploy a set without it\n`,
    );
  }
  if (context.json) context.terminal.out(JSON.stringify({ pod, change }));
}

/** The words for systemctl. @throws Refusal `not-found` */
export function podCommand(units: readonly AppUnit[], change: PodChange, pod: string): readonly string[] {
  return [change, '--', ...unitsOfPod(units, pod).map(({ unit }) => unit)];
}
