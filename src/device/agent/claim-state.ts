import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import { reasonOf, Refusal } from '../../core/refusal/index.ts';

/**
 * Claims the directory of the state for this process until it ends. Two wherryds would both write
 * the state, and take the connection to the broker from each other.
 *
 * Node has no flock(2), so flock(1) locks the open directory. The kernel keeps such a lock while
 * the directory is open here, and releases it however this process ends.
 *
 * @throws Refusal `device-unsupported` when another process has it, or without the rights
 */
export async function claimState(directory: string): Promise<void> {
  let status: number | null;
  try {
    mkdirSync(directory, { recursive: true });
    const opened = openSync(directory, 'r'); // never closed
    const child = spawn('flock', ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', opened] });
    [status] = (await once(child, 'close')) as [number | null];
  } catch (cause) {
    const advice = 'systemd starts wherryd, as root: systemctl start wherryd.service';
    throw new Refusal('device-unsupported', `${directory} cannot be locked: ${reasonOf(cause)}; ${advice}`, {
      cause,
    });
  }
  if (status === 0) return;
  // flock(1): "If the lock cannot be acquired, exit with 1"; sysexits(3) for everything else.
  const why =
    status === 1
      ? `another wherryd runs with ${directory}; see "systemctl status wherryd.service"`
      : `${directory} cannot be locked: flock ended with ${status ?? 'a signal'}`;
  throw new Refusal('device-unsupported', why);
}
