import type { Command } from 'commander';
import type { CommandSigningFlags, CountersignFlags, DeployFlags, WaitFlags } from '../flags.ts';
import {
  count,
  describingPods,
  example,
  outputPath,
  repeatable,
  seconds,
  signing,
  type MakeContext,
} from './options.ts';

/** `wherry deploy` and `wherry rollback` */
export function addDeploy(program: Command, makeContext: MakeContext): void {
  const waiting = (command: Command) =>
    command
      .option('--timeout <seconds>', 'how long to wait for each device', seconds, 600)
      .option('--no-wait', 'only publish');
  const published = (command: Command) =>
    signing(waiting(command))
      .option(
        '--sign-only',
        'sign, write the command to -o FILE and do not publish it: others must sign it, too',
      )
      .option('-o, --output <file>', 'where --sign-only writes the command', outputPath);
  describingPods(
    published(
      program
        .command('deploy [devices...]')
        .description('command devices to run exactly these pods, in place of what they run now'),
    ),
  )
    .option('--group <name>', 'command the devices that are in this group, in place of devices by name')
    .option('--share <percent>', 'of the group, command only this share of its devices: 10%, or 10-50%')
    .option('--salt <word>', 'with --share: another word selects other devices')
    .option('--withdraw', 'take the command back: the groups of a device count again, in their order')
    .option('--dry-run', 'only show what would stop and start, by the last report of each device')
    .addHelpText(
      'after',
      example(
        'wherry deploy crane-7 --run web=web.aci --memory 64Mi --cpu 500m',
        'wherry deploy crane-7 crane-8 --pod web=web.json --image nginx.aci --image php.aci',
        'wherry deploy crane-7 --run web=web.aci --secret db-password=@password.txt',
        'wherry deploy crane-7 --run web=web.aci --window "0 2 * * *;4h;Europe/Berlin" --no-wait',
        'wherry deploy --group kitchen --run web=web.aci',
        'wherry deploy --group kitchen --share 10% --run web=web.aci',
        'wherry deploy crane-7 --withdraw',
        'wherry deploy crane-7 --stop-all',
        'wherry deploy crane-7 --run web=web.aci --dry-run',
      ),
    )
    .action(async (devices: string[], options: DeployFlags, command: Command) => {
      const { deploy } = await import('../commands/operator/deploy.ts');
      await deploy(makeContext(command.optsWithGlobals()), devices, options);
    });
  published(
    program
      .command('rollback [devices...]')
      .description('command devices to run again what they ran before, as a new version')
      .option(
        '--to <version>',
        'the version whose pods to run (default: the last good one before the present)',
        count,
      )
      .option('--group <name>', 'command the devices that are in this group, in place of devices by name'),
  )
    .addHelpText(
      'after',
      example(
        'wherry rollback crane-7',
        'wherry rollback crane-7 --to 12',
        'wherry rollback --group kitchen',
      ),
    )
    .action(
      async (
        devices: string[],
        options: WaitFlags & CommandSigningFlags & { to?: number; group?: string },
        command: Command,
      ) => {
        const { rollback } = await import('../commands/operator/deploy.ts');
        await rollback(makeContext(command.optsWithGlobals()), devices, options);
      },
    );
  signing(
    waiting(
      program
        .command('countersign <file>')
        .description(
          'sign a command or a request for logs that somebody else has signed with --sign-only, and publish it',
        ),
    ),
  )
    .option('--signature <file>', 'a detached signature that was made elsewhere')
    .option('--no-publish', 'only sign: another person must sign, too')
    .addOption(repeatable('--secret <name=@file>', 'the values that the command names, again; repeatable'))
    .addHelpText('after', example('wherry countersign crane-7.cbor --gpg bob@example.com'))
    .action(async (file: string, options: CountersignFlags, command: Command) => {
      const { countersign } = await import('../commands/operator/countersign.ts');
      await countersign(makeContext(command.optsWithGlobals()), file, options);
    });
}

/** `wherry status` */
export function addStatus(program: Command, makeContext: MakeContext): void {
  program
    .command('status [devices...]')
    .description('show the reports of devices: version, pods, memory against limits, refusals')
    .option('--watch', 'keep showing changes until Ctrl-C')
    .addHelpText(
      'after',
      example('wherry status', 'wherry status crane-7 --watch', 'wherry status --json | jq .'),
    )
    .action(async (devices: string[], options: { watch?: true }, command: Command) => {
      const { status } = await import('../commands/operator/status.ts');
      await status(makeContext(command.optsWithGlobals()), devices, options);
    });
}
