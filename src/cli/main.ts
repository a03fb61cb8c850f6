import type { Command } from 'commander';
import { systemClock } from '../core/ports/index.ts';
import type { Context } from './context.ts';
import { tellFailure } from './failure.ts';
import { buildProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

/** Runs one command line and returns the exit status. */
export async function main(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<number> {
  const program = buildProgram(terminal, ({ fleet, json }): Context => ({
    terminal,
    clock: systemClock,
    fleetPath: fleet ?? environment['WHERRY_FLEET'] ?? 'fleet',
    json: json === true,
  }));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    return tellFailure(terminal, error, args.includes('--json'), typedCommand(program, args));
  }
}

/** The deepest command that `args` name. */
function typedCommand(program: Command, args: readonly string[]): string {
  let command = program;
  const names = [program.name()];
  for (const word of args) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) continue;
    command = next;
    names.push(word);
  }
  return names.join(' ');
}
