import type { Command } from 'commander';
import type { EnrolFlags } from '../commands/device/enrol.ts';
import type { FleetEnrolFlags, FleetRenewFlags } from '../flags.ts';
import { count, example, type MakeContext, outputPath, repeatable } from './options.ts';

/** `wherry fleet enrol` */
export function addFleetEnrol(fleet: Command, makeContext: MakeContext): void {
  fleet
    .command('enrol <device>')
    .description(
      'make all files of a device: a bundle for "wherry enrol", or straight into the tree of an image',
    )
    .option('-o, --output <file>', 'write a bundle, which may hold credentials', outputPath)
    .option('--root <dir>', 'write into this tree instead; the device makes its key at its first boot')
    .option('--no-key', 'with --root: the device has no key to encrypt commands to')
    .addOption(repeatable('--group <name>', 'a group that it is in, the first with precedence; repeatable'))
    .addOption(repeatable('--label <name=value>', 'a label; repeatable'))
    .option('--cert <file>', 'the certificate (PEM) that it shows to its broker')
    .option('--key-file <file>', 'and its key')
    .option('--ca-cert <file>', 'make a key and have this authority sign its certificate, with openssl')
    .option('--ca-key <file>', 'and the key of the authority')
    .option('--days <count>', 'how long that certificate is valid', count, 825)
    .option('--password <file>', 'the file with its password for the broker')
    .addHelpText(
      'after',
      example(
        'wherry fleet enrol crane-7 --group kitchen -o crane-7.enrol',
        'wherry fleet enrol crane-7 --ca-cert ca.pem --ca-key ca.key --root build/rootfs',
      ),
    )
    .action(async (device: string, options: FleetEnrolFlags, command: Command) => {
      const { fleetEnrol } = await import('../commands/operator/enrol.ts');
      await fleetEnrol(makeContext(command.optsWithGlobals()), device, options);
    });
}

/** `wherry fleet renew` */
export function addFleetRenew(fleet: Command, makeContext: MakeContext): void {
  fleet
    .command('renew <device>')
    .description(
      'make the next client certificate of an enrolled device, for the key that it has, with openssl',
    )
    .requiredOption(
      '-o, --output <file>',
      'write the certificate here, for "wherry enrol --renew"; it is public',
      outputPath,
    )
    .requiredOption('--ca-cert <file>', 'the authority that signed the present one')
    .requiredOption('--ca-key <file>', 'and the key of the authority')
    .option('--cert <file>', 'the present one, where the fleet directory does not have it')
    .option('--days <count>', 'how long it is valid', count, 825)
    .addHelpText(
      'after',
      example('wherry fleet renew crane-7 --ca-cert ca.pem --ca-key ca.key -o crane-7.pem'),
    )
    .action(async (device: string, options: FleetRenewFlags, command: Command) => {
      const { fleetRenew } = await import('../commands/operator/renew.ts');
      await fleetRenew(makeContext(command.optsWithGlobals()), device, options);
    });
}

/** `wherry enrol` */
export function addEnrol(program: Command, makeContext: MakeContext): void {
  program
    .command('enrol <bundle>')
    .description(
      'on a device, as root: enrol it with the bundle of "wherry fleet enrol" and a key of its own',
    )
    .option('--root <dir>', 'enrol the tree of another machine instead')
    .option('--no-key', 'make no key to encrypt commands to')
    .option('--renew', 'the file is a certificate from "wherry fleet renew": replace the present one with it')
    .addHelpText(
      'after',
      example('wherry enrol crane-7.enrol && systemctl start wherryd', 'wherry enrol crane-7.pem --renew'),
    )
    .action(
      async (bundle: string, { renew, ...options }: EnrolFlags & { renew?: true }, command: Command) => {
        if (renew === true) {
          const { renewCertificate } = await import('../commands/device/renew.ts');
          await renewCertificate(makeContext(command.optsWithGlobals()), bundle, options);
          return;
        }
        const { enrol } = await import('../commands/device/enrol.ts');
        await enrol(makeContext(command.optsWithGlobals()), bundle, options);
      },
    );
}
