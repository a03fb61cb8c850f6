import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Context } from '../context.ts';
import type { GlobalOptions } from '../flags.ts';

/** What the commands' options have in common. */

export type MakeContext = (options: GlobalOptions) => Context;

export function example(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

export function repeatable(flags: string, description: string): Option {
  const collect = (value: string, before: readonly string[] | undefined) => [...(before ?? []), value];
  return new Option(flags, description).argParser(collect);
}

/** Options of commands that find images by their names. */
export function discovering(command: Command): Command {
  return command
    .option('--auth <file>', 'credentials for web servers (TOML), readable by you alone')
    .option('--ca <file>', "certificates (PEM) to trust in place of the system's")
    .option('--http', 'use http where https fails')
    .addOption(
      repeatable(
        '--connect-to <host:port:to:port>',
        'connect to another place for a host and port; repeatable',
      ),
    );
}

/** Options of commands that sign. */
export function signing(command: Command): Command {
  return command
    .option('--signing-key <file>', 'sign with this private key, armored and without a passphrase')
    .option('--gpg <key>', "sign with a key of GnuPG's: a fingerprint or a name");
}

export const seconds = wholeNumber(0, 86_400, 'seconds');
export const count = wholeNumber(1, Number.MAX_SAFE_INTEGER, 'a whole number from 1');
export const port = wholeNumber(0, 65_535, 'a port');

export function wholeNumber(min: number, max: number, what: string): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It takes ${what} up to ${max}.`);
    return value;
  };
}
