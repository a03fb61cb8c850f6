import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';

const unit = 'wherryd.service';

/** How long a wherryd that is starting is waited for. */
const patienceMs = 60_000;

/**
 * `wherry gc`: asks wherryd, which alone knows what is needed, to do now what it does by
 * `gc.schedule`.
 */
export async function collectGarbage(context: Context): Promise<void> {
  const pid = await readyPid(context);
  if (!catches(await readFile(`/proc/${pid}/status`, 'utf8'), constants.signals.SIGUSR2)) {
    throw new Refusal(
      'device-unsupported',
      'this wherryd collects only by its gc.schedule; see wherry.toml(5)',
    );
  }
  try {
    process.kill(pid, 'SIGUSR2');
  } catch (cause) {
    throw new Refusal('device-unsupported', 'wherryd can only be asked by root; try sudo', { cause });
  }
  const note = 'wherryd collects now; its journal says what was deleted: journalctl -u wherryd -n 20';
  context.terminal.out(context.json ? JSON.stringify({ asked: pid }) : note);
}

/**
 * `wherry gc --dry-run`: what `wherry gc` would delete now, as the saved state says. wherryd is not
 * asked; while it is at work on a deployment it collects nothing, and does so when that has ended.
 */
export async function showGarbage(context: Context, options: { readonly store?: string }): Promise<void> {
  const { deviceStore, openDeviceStore } = await import('../../../device/local-api/index.ts');
  const { rootsOf } = await import('../../../device/deploy/index.ts');
  const { findGarbage } = await import('../../../device/store/index.ts');
  const { disk, directories, readState } = await openDeviceStore(options.store ?? deviceStore);
  const garbage = await findGarbage(disk, directories, rootsOf(await readState(), []));
  const totalBytes = garbage.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  const { terminal } = context;
  if (context.json) {
    const entries = garbage.map(({ path, allocatedBytes }) => ({ path, allocatedBytes }));
    terminal.out(JSON.stringify({ garbage: entries, totalBytes }));
    return;
  }
  for (const { path, allocatedBytes } of garbage) terminal.out(`${path}  ${formatBytes(allocatedBytes)}`);
  terminal.out(
    garbage.length === 0 ? 'nothing to delete' : `"wherry gc" would free ${formatBytes(totalBytes)}`,
  );
}

/** The process of wherryd, which listens as soon as it has told systemd that it is ready. */
async function readyPid({ clock, terminal }: Context): Promise<number> {
  const untilMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    const { pid, isStarting } = await askSystemd();
    if (!isStarting || clock.monotonicMs() > untilMs) return pid;
    await clock.sleep(500, terminal.stop);
  }
}

async function askSystemd(): Promise<{ readonly pid: number; readonly isStarting: boolean }> {
  const advice = 'run "wherry gc" on a device; the broker carries no such command';
  let text: string;
  try {
    const properties = ['show', '--property=MainPID', '--property=ActiveState', unit];
    ({ stdout: text } = await promisify(execFile)('systemctl', properties));
  } catch (cause) {
    throw new Refusal('device-unsupported', `systemd does not answer here; ${advice}`, { cause });
  }
  const pid = Number(/^MainPID=(\d+)$/m.exec(text)?.[1]);
  if (!(pid > 0)) throw new Refusal('device-unsupported', `${unit} does not run here; ${advice}`);
  return { pid, isStarting: /^ActiveState=activating$/m.test(text) };
}

/** Whether a process catches `signal`, by its /proc/PID/status. Uncaught, SIGUSR2 would end it. */
export function catches(status: string, signal: number): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
