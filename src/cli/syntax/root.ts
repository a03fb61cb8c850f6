import type { Command } from 'commander';
import type { InstallFlags } from '../commands/device/root-install.ts';
import type { RootFlags, SigningFlags } from '../flags.ts';
import { count, example, repeatable, signing, wholeNumber, type MakeContext } from './options.ts';

const threshold = wholeNumber(1, 32, 'a number of keys');
const days = wholeNumber(1, 36_500, 'days');

/** `wherry trust root` */
export function addTrustRoot(trust: Command, makeContext: MakeContext): void {
  const root = trust
    .command('root')
    .description('the root of trust of a fleet: who may sign what, in versions, signed by several people');
  const roles = (command: Command): Command =>
    command
      .addOption(repeatable('--root-key <file>', 'a key that signs roots, armored and public; repeatable'))
      .option('--root-threshold <count>', 'how many of them must sign', threshold)
      .addOption(repeatable('--deploy-key <file>', 'a key that commands devices; repeatable'))
      .option('--deploy-threshold <count>', 'how many of them must sign', threshold)
      .addOption(
        repeatable(
          '--images-key <[prefix=]file>',
          'a key that signs images, all or those below a name; repeatable',
        ),
      )
      .addOption(
        repeatable('--images-threshold <[prefix=]count>', 'how many of them must sign an image; repeatable'),
      )
      .option('--valid-days <days>', 'when it expires: devices then take no new commands', days, 1095);
  roles(root.command('init').description('make the first root, unsigned, in roots/ of the fleet directory'))
    .option(
      '--at-version <version>',
      'begin a new chain at this version, after the keys of the old one were lost',
      count,
    )
    .addHelpText(
      'after',
      example('wherry trust root init --root-key a.asc --root-key b.asc --root-key c.asc --root-threshold 2'),
    )
    .action(async (options: RootFlags, command: Command) => {
      const { initRoot } = await import('../commands/operator/root.ts');
      await initRoot(makeContext(command.optsWithGlobals()), options);
    });
  roles(
    root
      .command('rotate')
      .description('make the next root, unsigned: roles that are named are replaced, the others stay'),
  )
    .addOption(repeatable('--drop <fingerprint>', 'take this key out of every role; repeatable'))
    .addHelpText(
      'after',
      example(
        'wherry trust root rotate --drop 0123456789ABCDEF0123456789ABCDEF01234567 --deploy-threshold 1',
      ),
    )
    .action(async (options: RootFlags, command: Command) => {
      const { rotateRoot } = await import('../commands/operator/root.ts');
      await rotateRoot(makeContext(command.optsWithGlobals()), options);
    });
  signing(
    root
      .command('sign [file]')
      .description('add a signature to a root; without a file to the newest of the fleet directory'),
  )
    .option('--signature <file>', 'a detached signature that was made elsewhere over "show --payload"')
    .addHelpText('after', example('wherry trust root sign 2.cbor --gpg alice@example.com'))
    .action(async (file: string | undefined, options: SigningFlags, command: Command) => {
      const { signRoot } = await import('../commands/operator/root.ts');
      await signRoot(makeContext(command.optsWithGlobals()), file, options);
    });
  root
    .command('show [file]')
    .description('show a root, its roles, who has signed it and who has not')
    .option('--payload', 'write the exact bytes to sign to standard output, and nothing else')
    .addHelpText('after', example('wherry trust root show', 'wherry trust root show --payload > root.bin'))
    .action(async (file: string | undefined, options: { payload?: true }, command: Command) => {
      const { showRoot } = await import('../commands/operator/root.ts');
      await showRoot(makeContext(command.optsWithGlobals()), file, options);
    });
  root
    .command('publish')
    .description('publish every root after the first to the fleet, retained')
    .addHelpText('after', example('wherry trust root publish'))
    .action(async (_options: object, command: Command) => {
      const { publishRoots } = await import('../commands/operator/root.ts');
      await publishRoots(makeContext(command.optsWithGlobals()));
    });
  root
    .command('install <file>')
    .description(
      'on a device: trust this root, the first one, or a later one when the network has lost those between',
    )
    .option('--directory <dir>', "the device's own store", '/etc/wherry/trust')
    .option('--yes', 'do not ask for confirmation')
    .addHelpText('after', example('sudo wherry trust root install 1.cbor'))
    .action(async (file: string, options: InstallFlags, command: Command) => {
      const { installRoot } = await import('../commands/device/root-install.ts');
      await installRoot(makeContext(command.optsWithGlobals()), file, options);
    });
}
