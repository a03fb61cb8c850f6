import { type AppLoad, loadBetween, sampleUsage } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import type { TopFlags } from '../../flags.ts';
import { formatTable, formatUse } from '../../format.ts';

/**
 * `wherry top`: what the apps of this device use of processors, memory and tasks.
 *
 * @throws Refusal `not-found` for a pod that does not exist, `device-unsupported` without systemd
 */
export async function top(context: Context, pod: string | undefined, flags: TopFlags): Promise<void> {
  const { clock, json, terminal } = context;
  const sample = () => sampleUsage(() => clock.monotonicMs(), pod);
  let before = await sample();
  do {
    await clock.sleep(flags.interval * 1000, terminal.stop);
    const after = await sample();
    const loads = loadBetween(before, after);
    before = after;
    if (flags.watch === true && terminal.hasColour && !json) terminal.out('\u001b[H\u001b[2J\u001b[3J');
    terminal.out(json ? JSON.stringify(loads) : renderLoads(terminal, loads));
  } while (flags.watch === true);
}

/** The busiest app first. */
export function renderLoads(
  terminal: Pick<Context['terminal'], 'hasColour'>,
  loads: readonly AppLoad[],
): string {
  if (loads.length === 0) return 'there is no pod on this device';
  const rows = loads
    .toSorted((one, other) => (other.cpuPercent ?? -1) - (one.cpuPercent ?? -1))
    .map(({ pod, app, pid, cpuPercent, memoryBytes, memoryMaxBytes, tasks }) => [
      pod,
      app,
      cpuPercent === null ? '-' : `${cpuPercent.toFixed(1)} %`,
      formatUse(memoryBytes ?? undefined, memoryMaxBytes ?? undefined),
      String(tasks ?? '-'),
      String(pid ?? '-'),
    ]);
  return formatTable(terminal, ['POD', 'APP', 'CPU', 'MEMORY', 'TASKS', 'PID'], rows);
}
