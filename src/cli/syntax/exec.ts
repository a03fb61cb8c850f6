import type { Command } from 'commander';
import type { ExecFlags } from '../flags.ts';
import { example, type MakeContext } from './options.ts';

/** `wherry exec` */
export function addExec(program: Command, makeContext: MakeContext): void {
  program
    .command('exec <pod> <app> <command...>')
    .usage('[options] <pod> <app> -- <command> [argument...]')
    .description('on a device: run a program in a running app, confined as the app is')
    .option('-i, --interactive', 'pass standard input on, also where it is not a terminal')
    .option('-t, --tty', 'give the program a terminal (default: when this is one)')
    .option('-T, --no-tty', 'give it none')
    .addHelpText('after', example('wherry exec web nginx -- /bin/sh', 'wherry exec web nginx -- nginx -t'))
    .action(
      async (pod: string, app: string, words: readonly string[], options: ExecFlags, command: Command) => {
        const { exec } = await import('../commands/device/exec.ts');
        await exec(makeContext(command.optsWithGlobals()), pod, app, words, options);
      },
    );
}
