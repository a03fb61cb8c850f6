import type { Command } from 'commander';
import type { SimFlags } from '../flags.ts';
import { count, duration, example, repeatable, type MakeContext } from './options.ts';

/** `wherry sim` */
export function addSim(program: Command, makeContext: MakeContext): void {
  program
    .command('sim')
    .argument('<count>', '', count)
    .description('simulate devices of the fleet on its broker: real sessions and signature checks, no pods')
    .option('--prefix <name>', 'devices are called NAME-0, NAME-1 and so on', 'sim')
    .option('--group <name>', 'the group that they are in')
    .addOption(
      repeatable(
        '--broker <url>',
        'an address for the devices, in place of the one in fleet.toml; repeatable: they begin with one each in turn and fail over to the others',
      ),
    )
    .addOption(
      repeatable(
        '--fault <kind=share>',
        'what is wrong with a share of them: slow=5%, flapping, failing, clock, power or away; repeatable',
      ),
    )
    .option('--bad-image <name>', 'pods with an image of this name do not survive their probation')
    .option('--herd <time>', 'cut all connections at once after this time', duration)
    .option('--phase <time>', 'how long a phase of a deployment takes', duration, 1)
    .option('--starts-per-second <count>', 'how many devices are started in a second', count, 200)
    .option('--seed <text>', 'decides which devices have a fault', '1')
    .option('--for <time>', 'end after this time (default: at Ctrl-C)', duration)
    .addHelpText(
      'after',
      example('wherry sim 1000', 'wherry sim 1000 --fault slow=5% --fault failing=1% --herd 10m'),
    )
    .action(async (devices: number, options: SimFlags, command: Command) => {
      const { simulate } = await import('../commands/operator/sim.ts');
      await simulate(makeContext(command.optsWithGlobals()), devices, options);
    });
}
