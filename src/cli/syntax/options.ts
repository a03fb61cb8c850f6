import { type Command, InvalidArgumentError, Option } from 'commander';
import { refusalCodes } from '../../core/refusal/index.ts';
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

/** A label to select devices by: one without a value would match none. */
export function labelFilter(value: string, before: readonly string[] | undefined): readonly string[] {
  if (!/^[^=]+=/.test(value)) throw new InvalidArgumentError('It takes NAME=VALUE, such as "site=pier 4".');
  return [...(before ?? []), value];
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

/** Options of commands that describe what devices run, and when. */
export function describingPods(command: Command): Command {
  return discovering(
    command
      .addOption(
        repeatable(
          '--run <pod=image>',
          'a pod of one app that runs the program of an image (a file, or a name to be discovered); repeatable',
        ),
      )
      .addOption(
        repeatable(
          '--pod <pod=file>',
          'a pod manifest (JSON) or a Kubernetes Pod (YAML) whose apps name their images; repeatable',
        ),
      )
      .addOption(
        repeatable(
          '--image <file>',
          'an .aci file that a pod manifest names or an image depends on, or a directory of such files; repeatable',
        ),
      )
      .option('--stop-all', 'run no pods')
      .option('--memory <quantity>', 'memory limit of each --run pod, for example 64Mi')
      .option('--cpu <quantity>', 'CPU limit of each --run pod, for example 500m')
      .option('--tasks <count>', 'limit of processes and threads of each --run pod')
      .addOption(
        repeatable(
          '--volume <name,kind=kind>',
          'a volume at the mount points of that name of --run pods, for example data,kind=host,source=/srv/data or work,kind=empty,mode=0750,uid=33; repeatable',
        ),
      )
      .option(
        '--network <name>',
        "the network of each --run pod: host, none, bridge, or one of the device's own (default: that of the device)",
      )
      .addOption(
        repeatable('--key <file>', 'armored public key to trust for images found by name; repeatable'),
      )
      .option('--base-url <url>', 'where devices find the images, in place of the one in fleet.toml')
      .option('--probation <seconds>', 'how long the pods must stay healthy', seconds)
      .option('--best-effort', 'run the pods even if a device cannot enforce a limit')
      .addOption(
        repeatable(
          '--secret <name=@file>',
          'a value that reaches apps as a file in memory, encrypted to each device; --run pods get all of them, apps of --pod those that they name; repeatable',
        ),
      )
      .option(
        '--activate <when>',
        'when the pods are replaced: now, window, next-boot, or approval ("wherry approve" on the device)',
      )
      .addOption(
        repeatable(
          '--window <cron;duration;zone>',
          'with --activate window: when it opens, for how long, and in which time zone; repeatable',
        ),
      )
      .option('--force', 'replace the pods even if a lock, a window or a missing approval holds them')
      .addOption(
        new Option(
          '--broker-loss <what>',
          'roll-back: undo pods under which the device loses its broker; ignore: keep them (default: broker_loss of the fleet)',
        ).choices(['roll-back', 'ignore']),
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

/** `5`, `5%` or `0.5%`. */
export function percent(text: string): number {
  const [, number = ''] = /^(\d{1,3}(?:\.\d{1,3})?)%?$/.exec(text) ?? [];
  if (number === '' || Number(number) > 100)
    throw new InvalidArgumentError('It takes percent such as 5 or 0.5%.');
  return Number(number);
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90`, `90s`, `15m`, `2h` or `1d` as seconds. */
export function duration(text: string): number {
  const [, digits = '', unit = 's'] = /^(\d{1,6})([smhd])?$/.exec(text) ?? [];
  if (digits === '') throw new InvalidArgumentError('It takes a time such as 90s, 15m, 2h or 1d.');
  return Number(digits) * (unitSeconds[unit] ?? 1);
}

const unitBytes: Readonly<Record<string, number>> = { KiB: 1 << 10, MiB: 1 << 20 };

/** `4096`, `256KiB` or `1MiB` as bytes. */
export function byteCount(text: string): number {
  const [, digits = '', unit] = /^(\d{1,9})(KiB|MiB)?$/.exec(text) ?? [];
  if (digits === '') throw new InvalidArgumentError('It takes a size such as 4096, 256KiB or 1MiB.');
  return Number(digits) * (unit === undefined ? 1 : (unitBytes[unit] ?? 1));
}

/** A misspelt code would match no device, as if none had failed. */
export function refusalCode(text: string): string {
  if (!Object.hasOwn(refusalCodes, text))
    throw new InvalidArgumentError('It takes a code such as no-space; docs/contract.md lists all.');
  return text;
}

export function wholeNumber(min: number, max: number, what: string): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      const limit = max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${max}`;
      throw new InvalidArgumentError(`It takes ${what}${limit}.`);
    }
    return value;
  };
}

/** No command writes its result to standard output, which "-" means elsewhere. */
export function outputPath(path: string): string {
  if (path === '-')
    throw new InvalidArgumentError(
      'It takes the name of a file; nothing is written to standard output. ./- is the file of that name.',
    );
  return path;
}
