import type { Command } from 'commander';
import type { VolumeFlags } from '../flags.ts';
import { example, type MakeContext } from './options.ts';

const storeHelp = 'where the store is (default: /var/lib/wherry)';

/** `wherry volume` */
export function addVolume(program: Command, makeContext: MakeContext): void {
  const volume = program
    .command('volume')
    .description('kept volumes of this device')
    .addHelpText('after', example('wherry volume list'));
  volume
    .command('list')
    .description('on a device: show the volumes that outlive their pods')
    .option('--store <dir>', storeHelp)
    .addHelpText('after', example('wherry volume list', 'wherry volume list --json'))
    .action(async (options: VolumeFlags, command: Command) => {
      const { listVolumes } = await import('../commands/device/volume.ts');
      await listVolumes(makeContext(command.optsWithGlobals()), options);
    });
  volume
    .command('rm <pod> <volume>')
    .description('on a device: delete a kept volume that no deployment has, with all that is in it')
    .option('--store <dir>', storeHelp)
    .addHelpText('after', example('wherry volume rm web data'))
    .action(async (pod: string, name: string, options: VolumeFlags, command: Command) => {
      const { removeVolume } = await import('../commands/device/volume.ts');
      await removeVolume(makeContext(command.optsWithGlobals()), pod, name, options);
    });
}
