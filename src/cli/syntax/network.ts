import type { Command } from 'commander';
import { example, type MakeContext } from './options.ts';

/** `wherry network` */
export function addNetwork(program: Command, makeContext: MakeContext): void {
  const network = program
    .command('network')
    .description('networks of this device')
    .addHelpText('after', example('wherry network list'));
  network
    .command('list')
    .description('on a device: show the networks that pods can name, and the pods in them')
    .addHelpText('after', example('wherry network list', 'wherry network list --json'))
    .action(async (_options: object, command: Command) => {
      const { showNetworks } = await import('../commands/device/network.ts');
      await showNetworks(makeContext(command.optsWithGlobals()));
    });
  network
    .command('inspect <network>')
    .description('on a device: show a network: its plugins, its pods and their addresses')
    .addHelpText('after', example('wherry network inspect bridge'))
    .action(async (name: string, _options: object, command: Command) => {
      const { showNetwork } = await import('../commands/device/network.ts');
      await showNetwork(makeContext(command.optsWithGlobals()), name);
    });
}
