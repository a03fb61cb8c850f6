import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { isRefusal, reasonOf, Refusal } from '../../../core/refusal/index.ts';
import { places } from '../../../device/host/index.ts';
import { crunError, execProcess, notRun } from '../../../device/pod/index.ts';
import type { Context } from '../../context.ts';
import type { ExecFlags } from '../../flags.ts';
import { EndedWith } from '../../terminal.ts';
import { execCommand } from './exec-process.ts';
import { passSignal } from './pass-signal.ts';
import { appUnits, findRunningApp, type RunningApp } from '../../../device/local-api/index.ts';

const cgroups = '/sys/fs/cgroup';
/** Beside those that end a command. Programs use them for questions, and Node for its debugger. */
const otherSignals = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** The exit status of a program that SIGKILL has ended. */
const killed = 128 + constants.signals.SIGKILL;

/**
 * `wherry exec`: runs a program in an app, confined as the app is, and exits with its status.
 *
 * @throws EndedWith the program's exit status, when it is not 0
 * @throws Refusal `not-found` for a pod, an app or a program that does not exist, and for an app
 *   that does not run; `device-unsupported` without root, or when crun or the kernel fails; `usage`
 */
export async function exec(
  context: Context,
  pod: string,
  app: string,
  command: readonly string[],
  flags: ExecFlags,
): Promise<void> {
  const hasTerminal = wantsTerminal(flags, isatty(0), isatty(1));
  if (process.getuid?.() !== 0)
    throw new Refusal('device-unsupported', 'only root can run a program in an app; try sudo');
  const running = findRunningApp(await appUnits(), pod, app, places);
  const status = await run(context, running, { command, hasTerminal, flags });
  if (status === killed && !isRunning(running)) {
    const what = `the app ${running.app} of the pod ${running.pod} has ended or was restarted`;
    context.terminal.err(`note: ${what}, which killed the program\n`);
  }
  if (status !== 0) throw new EndedWith(status);
}

/** Whether the process of the app that the program was started in still runs. */
function isRunning(app: RunningApp): boolean {
  try {
    return pidsOf(procsOf(app)).includes(app.mainPid);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * Whether the program gets a terminal of its own: by default when both ends are terminals.
 * @throws Refusal `usage` for `-t` when standard input is not a terminal
 */
export function wantsTerminal(flags: ExecFlags, isInput: boolean, isOutput: boolean): boolean {
  if (flags.tty === true && !isInput)
    throw new Refusal('usage', 'standard input is not a terminal; leave out -t');
  return flags.tty ?? (isInput && isOutput);
}

interface Wanted {
  readonly command: readonly string[];
  readonly hasTerminal: boolean;
  readonly flags: ExecFlags;
}

async function run(context: Context, app: RunningApp, wanted: Wanted): Promise<number> {
  const { command, hasTerminal } = wanted;
  const directory = await whileItRuns(app, mkdtemp(join(app.runtime, 'exec-')));
  try {
    const files = { process: join(directory, 'process.json'), log: join(directory, 'log') };
    const config = await whileItRuns(app, readFile(join(app.bundle, 'config.json'), 'utf8'));
    const input = { command, hasTerminal, term: process.env['TERM'] };
    await whileItRuns(app, writeFile(files.process, execProcess(config, input), { mode: 0o600 }));
    const [program = '', ...args] = execCommand(app, files, places.crun);
    const child = spawn(program, args, {
      stdio: stdioFor(wanted),
      // In its own session it gets Ctrl-C once, through this process, and the program has no
      // controlling terminal of the host. crun's own terminal needs the caller's session.
      detached: !hasTerminal,
    });
    const status = await attended(context, child, app);
    const error = crunError(await readFile(files.log, 'utf8').catch(() => ''));
    if (error !== undefined && status !== 0) throw notRun(app, command[0], error);
    return status;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Never passes a terminal of the host into the app: a process of the app could read what is typed
 * there later, and write to it. Terminals are copied through pipes instead.
 */
function stdioFor({ hasTerminal, flags }: Wanted): StdioOptions {
  if (hasTerminal) return ['inherit', 'inherit', 'inherit', 'pipe'];
  const output = (fd: number) => (isatty(fd) ? 'pipe' : 'inherit');
  const input = flags.interactive !== true ? 'ignore' : isatty(0) ? 'pipe' : 'inherit';
  return [input, output(1), output(2), 'pipe'];
}

/** Moves `child` to the cgroup of the app, lets it begin, and returns its exit status. */
async function attended(context: Context, child: ChildProcess, app: RunningApp): Promise<number> {
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  ended.catch(() => undefined);
  await once(child, 'spawn');
  context.terminal.handSignals?.((signal) => passSignal(child, signal));
  for (const signal of otherSignals) process.on(signal, () => passSignal(child, signal));
  const gate = child.stdio[3];
  if (gate === null || gate === undefined || !('write' in gate)) throw new Error('the gate is not a pipe');
  gate.on('error', () => undefined); // A child killed by a signal does not read it.
  try {
    moveToCgroup(child.pid ?? 0, app);
    copyOomScore(child.pid ?? 0, app);
    gate.end('moved\n');
  } catch (error) {
    gate.end();
    await ended;
    throw error;
  }
  if (child.stdin !== null) process.stdin.pipe(child.stdin).on('error', () => undefined);
  child.stdout?.pipe(process.stdout);
  child.stderr?.pipe(process.stderr);
  const [status, signal] = await ended;
  return status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/**
 * An app that systemd restarts gets a new cgroup of the same name. A process in it that is not the
 * app's could be taken for the app. So one read of the cgroup must show both.
 */
function moveToCgroup(pid: number, app: RunningApp): void {
  const file = procsOf(app);
  try {
    if (!pidsOf(file).includes(app.mainPid)) throw goneRefusal(app);
    writeFileSync(file, `${pid}\n`, { flag: 'r+' });
    const pids = pidsOf(file);
    if (!pids.includes(app.mainPid) || !pids.includes(pid)) throw goneRefusal(app);
  } catch (cause) {
    if (isRefusal(cause)) throw cause;
    if (isMissing(cause)) throw goneRefusal(app, cause);
    throw new Refusal('device-unsupported', `${file} cannot be used: ${reasonOf(cause)}`, { cause });
  }
}

/** `crun exec` ignores `oomScoreAdj` of a process; what is set here is inherited. */
function copyOomScore(pid: number, app: RunningApp): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, readFileSync(`/proc/${app.mainPid}/oom_score_adj`));
  } catch (cause) {
    if (isMissing(cause)) throw goneRefusal(app, cause);
    throw cause;
  }
}

function procsOf({ controlGroup }: RunningApp): string {
  return `${cgroups}${controlGroup}/cgroup.procs`;
}

function pidsOf(file: string): readonly number[] {
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number);
}

/** The files of an app exist while it runs: a missing one means that the app has ended. */
async function whileItRuns<T>(app: RunningApp, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (isMissing(cause)) throw goneRefusal(app, cause);
    throw cause;
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['ENOENT', 'ENODEV', 'ESRCH'].includes(String(error.code))
  );
}

function goneRefusal({ app, pod, unit }: RunningApp, cause?: unknown): Refusal {
  return new Refusal(
    'not-found',
    `the app ${app} of the pod ${pod} has just ended or is restarted; try again, or see "systemctl status '${unit}'"`,
    { cause },
  );
}
