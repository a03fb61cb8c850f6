import { CommanderError } from 'commander';
import {
  asLocalRefusal,
  exitCodeOf,
  isRefusal,
  localErrorOf,
  type RefusalCode,
} from '../core/refusal/index.ts';
import type { Terminal } from './terminal.ts';

/**
 * Reports how a command failed and returns the exit status: one sentence for people on stderr, and
 * with `json` an object for programs on stdout.
 * @param command the command that was typed, for example `wherry image build`
 */
export function tellFailure(terminal: Terminal, failure: unknown, json: boolean, command: string): number {
  // The user can fix errors of the disk, wherever they occur.
  const path = localErrorOf(failure)?.path;
  const error = asLocalRefusal(failure, path ?? 'a file that is read or written');
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0; // --help and --version end this way.
    const problem = error.code === 'commander.help' ? 'it takes a command' : usageProblem(error.message);
    return tell(terminal, 'usage', `${sentence(problem)}; see "${command} --help"`, json);
  }
  if (isRefusal(error)) {
    if (process.env['WHERRY_DEBUG'] !== undefined) terminal.err(`${describe(error)}\n`);
    return tell(terminal, error.code, sentence(error.message), json);
  }
  terminal.err(`${describe(error)}\n`);
  return tell(terminal, 'internal', 'internal error in wherry; report it with the lines above', json);
}

function tell(terminal: Terminal, code: RefusalCode, message: string, json: boolean): number {
  terminal.err(`wherry: ${message} (${code})\n`);
  if (json) terminal.out(JSON.stringify({ error: { code, message } }));
  return exitCodeOf(code);
}

/** What commander writes, and the same in the style of our messages. */
const usageProblems: readonly (readonly [RegExp, string])[] = [
  [/^error: /, ''],
  [/^option '(.*?)' argument missing$/s, '$1 lacks its value'],
  [/^required option '(.*)' not specified$/s, '$1 is missing'],
  [/^missing required argument '(.*)'$/s, '<$1> is missing'],
  [/^too many arguments.*Expected (\d+) arguments? but got (\d+)\.$/s, 'it takes $1 arguments, not $2'],
  [/^option '(.*?)' argument '(.*)' is invalid\. /s, '"$2" is not valid for $1: '],
  [/^command-argument value '(.*)' is invalid for argument '(.*?)'\. /s, '"$1" is not valid for <$2>: '],
  [/: Allowed choices are (.*)\.$/, ': it takes one of $1'],
  [/: It takes /, ': it takes '],
];

function usageProblem(message: string): string {
  return usageProblems.reduce((text, [theirs, ours]) => text.replace(theirs, ours), message);
}

/**
 * One line. A message may quote a file: characters that would control the terminal are shown as
 * escapes.
 */
function sentence(message: string): string {
  return message
    .replaceAll('\n', ' ')
    .replace(/\.$/, '')
    .replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${describe(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
