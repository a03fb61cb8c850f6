import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { isatty } from 'node:tty';
import { Refusal } from '../../../core/refusal/index.ts';
import { journalCommand } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import type { LogFlags } from '../../flags.ts';

/**
 * `wherry logs`: what an app writes is in the journal of its device, with the fields WHERRY_POD and
 * WHERRY_APP. So this is journalctl, here or by ssh. `wherry fleet logs` reads it by a signed
 * request.
 */
export async function logs(
  context: Context,
  pod: string,
  app: string | undefined,
  flags: LogFlags,
): Promise<void> {
  const [program = '', ...args] = logCommand(pod, app, { ...flags, json: context.json });
  if (flags.ssh === undefined && !existsSync('/etc/wherry/wherry.toml')) {
    const advice = 'what an app writes stays on its device: run this there, or add --ssh root@DEVICE';
    context.terminal.err(`note: this machine is not a device; ${advice}\n`);
  }
  // Only a terminal is passed on: journalctl fails when its reader goes, as in `logs | head`.
  const child = spawn(program, args, { stdio: ['ignore', isatty(1) ? 'inherit' : 'pipe', 'inherit'] });
  child.stdout?.pipe(process.stdout);
  const stop = () => void child.kill('SIGTERM');
  context.terminal.stop.addEventListener('abort', stop, { once: true });
  try {
    const [status] = (await once(child, 'close')) as [number | null];
    if (status === 0 || context.terminal.stop.aborted) return;
    const where = flags.ssh ?? 'this machine';
    throw new Refusal('not-found', `${program} on ${where} ended with status ${status ?? 'none'}`);
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'ENOENT') throw cause;
    const advice = 'run it on the device, or add --ssh root@DEVICE';
    throw new Refusal('device-unsupported', `there is no ${program} here; ${advice}`, { cause });
  }
}

/**
 * The command to run.
 * @throws Refusal `usage` for invalid names: a shell on the other side would interpret them
 */
export function logCommand(
  pod: string,
  app: string | undefined,
  flags: LogFlags & { readonly json?: boolean },
): readonly string[] {
  const { ssh, ...choice } = flags;
  const command = journalCommand({ ...choice, pod, ...(app === undefined ? {} : { app }) });
  if (ssh === undefined) return command;
  if (ssh.startsWith('-')) throw new Refusal('usage', `--ssh takes a host, not ${JSON.stringify(ssh)}`);
  // ssh joins its arguments with blanks and passes them to a shell.
  return ['ssh', '--', ssh, command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')];
}
