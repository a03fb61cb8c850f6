import type { Command } from 'commander';
import { Refusal } from '../../core/refusal/index.ts';
import type { DevFlags, GcFlags, LogFlags, TopFlags } from '../flags.ts';
import { example, port, wholeNumber, type MakeContext } from './options.ts';

/** As many as journalctl counts. */
const lines = wholeNumber(0, 2 ** 31 - 1, 'a whole number');

/** `wherry logs`, `wherry gc` and `wherry dev` */
export function addDevice(program: Command, makeContext: MakeContext): void {
  program
    .command('logs <pod> [app]')
    .description("show a pod's output from the journal of this device, or of another one by ssh")
    .option('-f, --follow', 'keep showing new lines')
    .option('-n, --lines <count>', 'how many of the newest lines', lines)
    .option('--since <time>', 'as journalctl accepts it, for example "1 hour ago"')
    .option('--ssh <host>', 'run journalctl there')
    .addHelpText('after', example('wherry logs web -f', 'wherry logs web nginx -n 50 --ssh root@crane-7'))
    .action(async (pod: string, app: string | undefined, options: LogFlags, command: Command) => {
      const { logs } = await import('../commands/device/logs.ts');
      await logs(makeContext(command.optsWithGlobals()), pod, app, options);
    });
  program
    .command('gc')
    .description('on a device: delete images, downloads and pods that no deployment needs, now')
    .option('--dry-run', 'only list what would be deleted')
    .option('--store <dir>', 'with --dry-run: where the store is (default: /var/lib/wherry)')
    .addHelpText('after', example('wherry gc', 'wherry gc --dry-run'))
    .action(async (options: GcFlags, command: Command) => {
      const { collectGarbage, showGarbage } = await import('../commands/device/gc.ts');
      const context = makeContext(command.optsWithGlobals());
      if (options.dryRun === true) {
        await showGarbage(context, options);
        return;
      }
      if (options.store !== undefined)
        throw new Refusal('usage', '--store goes with --dry-run: wherryd collects in its own store only');
      await collectGarbage(context);
    });
}

/** `wherry top` */
export function addTop(program: Command, makeContext: MakeContext): void {
  program
    .command('top [pod]')
    .description('on a device: show what apps use of processors, memory and tasks')
    .option('--watch', 'keep showing it until Ctrl-C')
    .option('--interval <seconds>', 'how long processors are watched', wholeNumber(1, 3600, 'seconds'), 1)
    .addHelpText('after', example('wherry top', 'wherry top web --watch --interval 5'))
    .action(async (pod: string | undefined, options: TopFlags, command: Command) => {
      const { top } = await import('../commands/device/top.ts');
      await top(makeContext(command.optsWithGlobals()), pod, options);
    });
}

export function addDev(program: Command, makeContext: MakeContext): void {
  program
    .command('dev')
    .description(
      'run a broker and an image server here, for trying things out; makes a fleet if there is none',
    )
    .option('--host <address>', 'address to listen on; 0.0.0.0 for devices on other machines', '127.0.0.1')
    .option('--broker-port <port>', 'MQTT port, 0 for any', port, 1883)
    .option('--image-port <port>', 'HTTP port, 0 for any', port, 8080)
    .addHelpText('after', example('wherry dev --host 0.0.0.0'))
    .action(async (options: DevFlags, command: Command) => {
      const { dev } = await import('../commands/operator/dev.ts');
      await dev(makeContext(command.optsWithGlobals()), options);
    });
}
