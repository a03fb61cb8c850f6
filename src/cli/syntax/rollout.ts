import { InvalidArgumentError, type Command } from 'commander';
import type { DatabaseFlags, RolloutChangeFlags, RolloutSignFlags, RolloutStartFlags } from '../flags.ts';
import {
  describingPods,
  duration,
  example,
  percent,
  repeatable,
  signing,
  type MakeContext,
} from './options.ts';

/** `wherry rollout` */
export function addRollout(program: Command, makeContext: MakeContext): void {
  const rollout = program
    .command('rollout')
    .description('bring the same pods to many devices, wave by wave, and stop by itself when they fail');
  addStart(rollout, makeContext);
  signing(
    withDatabase(
      rollout
        .command('sign <id>')
        .description('sign the commands of a rollout that somebody else has started with --sign-only'),
    ),
  )
    .option('--dry-run', 'only show what would be signed')
    .addOption(
      repeatable(
        '--secret <name=@file>',
        'the values that the rollout names, again, to complete it; repeatable',
      ),
    )
    .addHelpText(
      'after',
      example('wherry rollout sign spring --dry-run', 'wherry rollout sign spring --gpg bob@example.com'),
    )
    .action(async (id: string, options: RolloutSignFlags, command: Command) => {
      const { signRollout } = await import('../commands/controller/rollout-sign.ts');
      await signRollout(makeContext(command.optsWithGlobals()), id, options);
    });
  withDatabase(rollout.command('watch <id>').description('carry out a rollout and show it until it ends'))
    .addHelpText('after', example('wherry rollout watch spring'))
    .action(async (id: string, options: DatabaseFlags, command: Command) => {
      const { watchRollout } = await import('../commands/controller/rollout-watch.ts');
      await watchRollout(makeContext(command.optsWithGlobals()), id, options);
    });
  const changes = [
    ['pause', 'send no more commands until it is resumed'],
    ['resume', 'continue a rollout that is paused or halted'],
    ['halt', 'stop a rollout; what was sent stays sent'],
    [
      'undo',
      'bring back, on every device that was touched, what it had before; give up one that is not signed',
    ],
    ['approve', 'let the next stage begin'],
  ] as const;
  for (const [name, description] of changes) {
    const command = withDatabase(rollout.command(`${name} <id>`).description(description)).option(
      '--reason <text>',
      'why, for those who look at it later',
      oneLine,
    );
    if (name === 'resume') {
      command
        .option('--errors <percent>', 'from now on this share of a wave may fail', percent)
        .option('--success <percent>', 'from now on this share of a wave must commit', percent);
    }
    if (name === 'resume' || name === 'undo')
      command.option('--no-wait', 'only decide it: a "watch" carries it out');
    command
      .addHelpText('after', example(`wherry rollout ${name} spring`))
      .action(async (id: string, options: RolloutChangeFlags, own: Command) => {
        const { changeRollout } = await import('../commands/controller/rollout-change.ts');
        await changeRollout(makeContext(own.optsWithGlobals()), name, id, options);
      });
  }
  withDatabase(rollout.command('list').description('show the rollouts of the fleet, the newest first'))
    .addHelpText('after', example('wherry rollout list', 'wherry rollout list --json | jq .'))
    .action(async (options: DatabaseFlags, command: Command) => {
      const { listRollouts } = await import('../commands/controller/rollout-show.ts');
      await listRollouts(makeContext(command.optsWithGlobals()), options);
    });
  withDatabase(rollout.command('show <id>').description('show the waves of a rollout and who failed'))
    .option('--devices', 'every device, not only those that failed')
    .addHelpText('after', example('wherry rollout show spring', 'wherry rollout show spring --devices'))
    .action(async (id: string, options: DatabaseFlags & { devices?: true }, command: Command) => {
      const { showRollout } = await import('../commands/controller/rollout-show.ts');
      await showRollout(makeContext(command.optsWithGlobals()), id, options);
    });
}

function addStart(rollout: Command, makeContext: MakeContext): void {
  const start = rollout
    .command('start [devices...]')
    .description('sign the commands for these devices, and bring them out wave by wave');
  withDatabase(signing(describingPods(start)))
    .option('--all', 'every device of the fleet')
    .option('--devices-from <file>', 'the devices that a file names, one on each line')
    .option('--id <name>', 'name of the rollout (default: the date and four digits)')
    .addOption(
      repeatable(
        '--stage <stage>',
        'how far a stage goes: 5, 33.3%, device:NAME,NAME or all; repeatable (default: 1, 10%, all)',
      ),
    )
    .option(
      '--soak <time>',
      'how long a stage must stay good before the next one, for example 15m',
      duration,
      0,
    )
    .option('--success <percent>', 'the share of a stage that must commit before the next one', percent, 100)
    .option('--errors <percent>', 'the share of a stage that may fail; more halts the rollout', percent, 0)
    .option('--answer-within <time>', 'count a device as failed that does not answer for this long', duration)
    .option('--approve', 'wait for "wherry rollout approve" before each stage after the first')
    .option('--no-undo', 'sign no commands that bring back what devices have now')
    .option('--no-wait', 'only sign and store it: "wherry rollout watch" carries it out')
    .option('--sign-only', 'sign it once and store it: others sign it with "wherry rollout sign"')
    .addHelpText(
      'after',
      example(
        'wherry rollout start --all --run web=web.aci --soak 15m',
        'wherry rollout start --all --id spring --run web=web.aci --stage device:crane-7 --stage 10% --approve',
      ),
    )
    .action(async (devices: string[], options: RolloutStartFlags, command: Command) => {
      const { startRollout } = await import('../commands/controller/rollout-start.ts');
      await startRollout(makeContext(command.optsWithGlobals()), devices, options);
    });
}

/** The terminals of others show it. */
function oneLine(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new InvalidArgumentError('It takes one line without control characters.');
  return text;
}

function withDatabase(command: Command): Command {
  return command.option(
    '--database <address>',
    'a SQLite file or postgres://host/database (default: that of fleet.toml, or rollouts.db in the fleet directory)',
  );
}
