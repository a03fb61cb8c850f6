import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import { Refusal } from '../../../core/refusal/index.ts';
import { journalCommand, refuseOtherTimes } from '../../../device/local-api/index.ts';
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
  // A pipe is passed on where lines are followed: journalctl notices at once that its reader has
  // gone, as in `logs -f | grep -m 1`. It does not notice a full disk.
  const output = fstatSync(1);
  const isPiped = flags.follow === true && (output.isFIFO() || output.isSocket());
  const stdout = isatty(1) || isPiped ? 'inherit' : 'pipe';
  const child = spawn(program, args, { stdio: ['ignore', stdout, 'pipe'] });
  child.stdout?.pipe(process.stdout);
  let said = '';
  child.stderr?.on('data', (piece: Buffer) => {
    said = `${said}${piece.toString()}`.slice(-4096);
    context.terminal.err(piece.toString());
  });
  const stop = () => void child.kill('SIGTERM');
  context.terminal.stop.addEventListener('abort', stop, { once: true });
  try {
    const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    if (status === 0 || context.terminal.stop.aborted) return;
    if (isPiped && (signal === 'SIGPIPE' || /^$|broken pipe/i.test(said))) return;
    refuseOtherTimes(flags, said);
    const where = flags.ssh ?? 'this machine';
    if (said.includes('insufficient permissions')) {
      const advice = 'try sudo, or join the group systemd-journal';
      throw new Refusal('device-unsupported', `this user may not read the journal of ${where}; ${advice}`);
    }
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
