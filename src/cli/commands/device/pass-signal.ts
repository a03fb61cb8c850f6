import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const lookMs = 20;

/**
 * Passes a signal to the program that `crun` runs. crun passes on signals once it blocks them. One
 * that comes earlier, when the program may have begun, would end crun alone, so it waits here.
 */
export function passSignal(crun: ChildProcess, signal: NodeJS.Signals): void {
  if (crun.exitCode !== null || crun.signalCode !== null) return;
  if (isBlocked(crun.pid ?? 0)) crun.kill(signal);
  else setTimeout(() => passSignal(crun, signal), lookMs);
}

/** Whether a process blocks signals, by SIGTERM (proc_pid_status(5)). */
function isBlocked(pid: number): boolean {
  try {
    const mask = /^SigBlk:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    return ((BigInt(`0x${mask}`) >> BigInt(constants.signals.SIGTERM - 1)) & 1n) === 1n;
  } catch {
    return false; // It has just ended.
  }
}
