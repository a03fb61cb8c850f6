import type { Command } from 'commander';
import type { AddFlags, ScopeFlags, TrustFlags } from '../commands/device/trust.ts';
import { addTrustRoot } from './root.ts';
import { discovering, example, repeatable, type MakeContext } from './options.ts';

/** `wherry trust` */
export function addTrust(program: Command, makeContext: MakeContext): void {
  const trust = program
    .command('trust')
    .description('the keys that a device trusts: add one after a look at its fingerprint, list, remove');
  const stores = (command: Command): Command =>
    command
      .option('--directory <dir>', "the store to change, a device's own", '/etc/wherry/trust')
      .option('--system <dir>', "the store that came with the device's software", '/usr/lib/wherry/trust');
  const scoped = (command: Command): Command =>
    stores(command)
      .option('--prefix <name>', 'for images of this name and below it')
      .option('--root', 'for any image')
      .option('--deploy', 'for commands');
  discovering(
    scoped(
      trust
        .command('add [files...]')
        .description('trust keys, after a look at their fingerprints: all of them or none'),
    ),
  )
    .addOption(
      repeatable('--fingerprint <hex>', 'trust the key with this fingerprint without asking; repeatable'),
    )
    .option('--discover <name>', 'keys that the site of an image offers, such as example.com/web')
    .option('--yes', 'trust all keys of the files')
    .addHelpText('after', example('wherry trust add team.asc --prefix example.com/web'))
    .action(async (files: string[], options: AddFlags, command: Command) => {
      const { addTrust: add } = await import('../commands/device/trust.ts');
      await add(makeContext(command.optsWithGlobals()), files, options);
    });
  stores(
    trust
      .command('list')
      .description('show the keys of both stores, what they are for, and what is wrong with them'),
  )
    .addHelpText('after', example('wherry trust list --json'))
    .action(async (options: TrustFlags, command: Command) => {
      const { listTrust } = await import('../commands/device/trust.ts');
      await listTrust(makeContext(command.optsWithGlobals()), options);
    });
  scoped(
    trust
      .command('remove <fingerprint>')
      .description("stop trusting a key; a key of the system's store is masked by an empty file"),
  )
    .addHelpText('after', example('wherry trust remove 0123456789ABCDEF0123456789ABCDEF01234567'))
    .action(async (fingerprint: string, options: ScopeFlags, command: Command) => {
      const { removeTrust } = await import('../commands/device/trust.ts');
      await removeTrust(makeContext(command.optsWithGlobals()), fingerprint, options);
    });
  addTrustRoot(trust, makeContext);
}
