import { isUtf8 } from 'node:buffer';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { constants as numbers } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { Refusal } from '../../core/refusal/index.ts';
import { places } from '../host/index.ts';
import { crunError, execProcess, notRun } from '../pod/index.ts';
import { appUnits, findRunningApp, type RunningApp } from './app-units.ts';
import { lastRecord } from './device-status.ts';
import type { LineStream, WriteLine } from './line-stream.ts';

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const call = promisify(execFile);
/** How long systemd may take to start a unit. */
const startWithinMs = 60_000;

export interface ExecRequest {
  readonly pod: string;
  readonly app: string;
  readonly command: readonly string[];
  /** Its standard input. */
  readonly input: Readable;
}

/**
 * Runs a program in an app, confined as the app is. wherry-api.service may not do that itself, so
 * systemd runs wherry-exec@.service, and pipes in memory connect the two.
 *
 * @param signal kills the program and its children
 * @throws Refusal `device-unsupported` where `api.exec` does not allow it, `not-found` for a pod or
 *   an app that does not exist or run
 */
export async function execInApp(request: ExecRequest, signal: AbortSignal): Promise<LineStream> {
  if ((await lastRecord())?.api?.exec !== true) {
    throw new Refusal(
      'device-unsupported',
      'the local API runs no programs in apps on this device: set api.exec in wherry.toml and restart wherryd, or use "wherry exec"',
    );
  }
  const { pod, app } = request;
  const running = findRunningApp(await appUnits(), pod, app, places);
  return (write) => run(running, request, write, signal);
}

async function run(
  app: RunningApp,
  request: ExecRequest,
  write: WriteLine,
  signal: AbortSignal,
): Promise<void> {
  const directory = await mkdtemp(`${places.exec}/`);
  const unit = `wherry-exec@${basename(directory)}.service`;
  const file = (name: string) => join(directory, name);
  const open: Socket[] = [];
  let held: number | undefined;
  const pipe = (name: string, flags: number): Socket => {
    const isRead = flags === O_RDONLY;
    const opened = new Socket({
      ...{ fd: openSync(file(name), flags | O_NONBLOCK), readable: isRead, writable: !isRead },
    });
    // A program that does not read its input is not a failure.
    opened.on('error', () => undefined);
    open.push(opened);
    return opened;
  };
  try {
    const config = await readFile(join(app.bundle, 'config.json'), 'utf8');
    const process = execProcess(config, { command: request.command, hasTerminal: false, term: undefined });
    await writeFile(file('process.json'), process, { mode: 0o600 });
    const facts = [
      app.mainPid,
      `/sys/fs/cgroup${app.controlGroup}`,
      app.runtime,
      app.containerId,
      places.crun,
    ];
    await writeFile(file('app'), `${facts.join('\n')}\n`);
    await call('mkfifo', ['-m', '0600', ...['stdin', 'stdout', 'stderr', 'ended'].map(file)]);

    const ended = once(pipe('ended', O_RDONLY), 'data', { signal }) as Promise<[Buffer]>;
    // Input that is sent before the program reads stays in the pipe while this end is open.
    held = openSync(file('stdin'), O_RDONLY | O_NONBLOCK);
    request.input.pipe(pipe('stdin', O_WRONLY));
    const copied = Promise.all([
      copy('stdout', pipe('stdout', O_RDONLY), write),
      copy('stderr', pipe('stderr', O_RDONLY), write),
    ]);
    copied.catch(() => undefined);
    ended.catch(() => undefined);
    await start(unit, signal);
    const [said] = await ended;
    for (const name of ['stdout', 'stderr']) endOf(file(name));
    await copied;
    const status = exitStatus(said.toString());
    const error = crunError(await readFile(file('log'), 'utf8').catch(() => ''));
    if (error !== undefined && status !== 0) throw notRun(app, request.command[0], error);
    await write({ exit: status });
  } finally {
    for (const one of open) one.destroy();
    if (held !== undefined) closeSync(held);
    // A unit that has ended is unknown to systemd.
    await call('systemctl', ['stop', unit]).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  }
}

async function start(unit: string, signal: AbortSignal): Promise<void> {
  await call('systemctl', ['start', unit], { timeout: startWithinMs, signal }).catch((cause: unknown) => {
    throw new Refusal('device-unsupported', `systemd does not start ${unit}; see its journal`, { cause });
  });
}

/** Bytes that are not text are sent in base64. A piece may end within a character. */
async function copy(stream: 'stdout' | 'stderr', from: Socket, write: WriteLine): Promise<void> {
  for await (const piece of from as AsyncIterable<Buffer>) {
    await write(
      isUtf8(piece) ? { stream, text: piece.toString() } : { stream, base64: piece.toString('base64') },
    );
  }
}

/**
 * Ends a pipe for its reader. A pipe ends when its last writer closes it; a program that never ran
 * has not opened it.
 */
function endOf(pipe: string): void {
  try {
    closeSync(openSync(pipe, O_WRONLY | O_NONBLOCK));
  } catch (error) {
    // It has no reader: it has ended.
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
  }
}

/**
 * The exit status as a shell gives it, from systemd's description of the end of a process
 * (systemd.exec(5)).
 */
function exitStatus(said: string): number {
  const [how, status = ''] = said.trim().split(' ');
  if (how === 'exited') return Number(status);
  return 128 + ((numbers.signals as Readonly<Record<string, number>>)[`SIG${status}`] ?? 0);
}
