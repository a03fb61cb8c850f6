import type { Command } from 'commander';
import { count, example, wholeNumber, type MakeContext } from './options.ts';

const lockSeconds = wholeNumber(1, 30 * 86_400, 'seconds');

/** `wherry lock` and `wherry approve` */
export function addHolds(program: Command, makeContext: MakeContext): void {
  const lock = program.command('lock').description('on a device: reasons not to replace its pods now');
  lock
    .command('add <name>')
    .description('hold every activation that is not forced, for a time')
    .requiredOption('--reason <text>', 'the reason that the report shows')
    .option('--for <seconds>', 'when it ends by itself', lockSeconds, 3600)
    .option('--keep', 'keep it across a reboot')
    .addHelpText('after', example('wherry lock add harvest --reason "the harvester runs" --for 7200'))
    .action(async (name: string, options: { reason: string; for: number; keep?: true }, command: Command) => {
      const { lockDevice } = await import('../commands/device/hold.ts');
      await lockDevice(makeContext(command.optsWithGlobals()), name, options);
    });
  lock
    .command('list')
    .description('show the locks of this device')
    .addHelpText('after', example('wherry lock list --json'))
    .action(async (_options: object, command: Command) => {
      const { listLocks } = await import('../commands/device/hold.ts');
      listLocks(makeContext(command.optsWithGlobals()));
    });
  lock
    .command('rm <name>')
    .description('remove a lock')
    .addHelpText('after', example('wherry lock rm harvest'))
    .action(async (name: string, _options: object, command: Command) => {
      const { unlockDevice } = await import('../commands/device/hold.ts');
      await unlockDevice(makeContext(command.optsWithGlobals()), name);
    });
  program
    .command('approve')
    .argument('<version>', '', count)
    .description('on a device: let a version be activated that was deployed with --activate approval')
    .option('--group <name>', 'it is a version of this group, not of the device itself')
    .addHelpText('after', example('wherry approve 12', 'wherry approve 3 --group kitchen'))
    .action(async (version: number, options: { group?: string }, command: Command) => {
      const { approveVersion } = await import('../commands/device/hold.ts');
      await approveVersion(makeContext(command.optsWithGlobals()), version, options);
    });
}
