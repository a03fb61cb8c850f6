import { getEventListeners } from 'node:events';
import type { Command } from 'commander';
import { systemClock } from '../core/ports/index.ts';
import { Refusal } from '../core/refusal/index.ts';
import type { Context } from './context.ts';
import { tellFailure } from './failure.ts';
import { missingPackage } from './operator-part.ts';
import { buildProgram } from './program.ts';
import { EndedWith, Stopped, type Terminal } from './terminal.ts';

/** How long a command may take to close what it has open after a stop signal, in milliseconds. */
const closingMs = 1000;

/**
 * Runs one command line and returns the exit status. After a stop signal, a command that listens
 * for it gets a moment to close what it has open. The others have only temporary files, which are
 * removed when the process exits (operator/build/output-file.ts). They are not awaited, so that
 * none completes its output after all.
 */
export async function main(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<number> {
  if (!hasDirectory()) {
    const gone = new Refusal('not-found', 'the current directory was deleted; change to one that exists');
    return tellFailure(terminal, gone, args.includes('--json'), 'wherry');
  }
  // Arguments after "--" belong to another program.
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  const program = buildProgram(terminal, ({ fleet, json }): Context => ({
    terminal,
    clock: systemClock,
    fleetPath: fleet ?? environment['WHERRY_FLEET'] ?? 'fleet',
    json: json === true,
  }));
  const next = own[own.indexOf('--version') + 1];
  // Else "image build … --version 1.0" would print the version of wherry and succeed.
  if (own.indexOf('--version') > 0 && next?.startsWith('-') === false) {
    const problem = '--version prints the version of wherry and takes no value';
    const command = typedCommand(program, own);
    return tellFailure(terminal, new Refusal('usage', problem), own.includes('--json'), nameOf(command));
  }
  let isHeard = (): boolean => false;
  const stopped = new Promise<undefined>((resolve) => {
    terminal.stop.addEventListener('abort', () => {
      const others = getEventListeners(terminal.stop, 'abort').length - 1;
      isHeard = () => others > 0;
      resolve(undefined);
    });
  });
  const ended = program.parseAsync([...args], { from: 'user' }).then(
    () => ({ error: undefined }),
    (error: unknown) => ({ error }),
  );
  let end = await Promise.race([ended, stopped]);
  if (end === undefined && isHeard()) {
    const timer = new AbortController();
    const late = systemClock.sleep(closingMs, timer.signal).then(
      () => undefined,
      () => undefined,
    );
    end = await Promise.race([ended, late]);
    timer.abort();
  }
  if (end?.error instanceof EndedWith) return end.error.status;
  const reason: unknown = terminal.stop.reason;
  if (reason instanceof Stopped) {
    terminal.err(`wherry: ${reason.message}\n`);
    return reason.status;
  }
  if (end?.error === undefined) return 0;
  const command = typedCommand(program, own);
  const error = missingPackage(end.error, command) ?? end.error;
  return tellFailure(terminal, error, own.includes('--json'), nameOf(command));
}

/** In a directory that was deleted, paths lead nowhere, and Node makes no directories. */
function hasDirectory(): boolean {
  try {
    process.cwd();
    return true;
  } catch {
    return false;
  }
}

/** The deepest command that `args` name. */
function typedCommand(program: Command, args: readonly string[]): Command {
  let command = program;
  for (const word of args) command = command.commands.find((one) => one.name() === word) ?? command;
  return command;
}

/** `wherry image build` */
function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}
