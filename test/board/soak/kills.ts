import type { Board } from '../../../qemu/index.ts';

/**
 * The targets of a soak: wherryd, a pull, or a script that starts an app (and the crun that it
 * becomes).
 */
export const targets = ['wherryd', 'pull', 'start'] as const;
export type Target = (typeof targets)[number];

/** A process that was killed, and the unit that it belonged to. */
export interface Killed {
  readonly target: Target;
  readonly unit: string;
}

/** A part of the target's command line, with arguments separated by spaces. */
const commands: Readonly<Record<Target, string>> = {
  wherryd: '^/usr/bin/node .*/wherryd[.]js',
  pull: '^/usr/bin/node .* pull [0-9a-f]{32} ',
  start: '^/bin/sh \\S+/(start-app create|release-app) ',
};

const killerPath = '/root/soak-kill';

/**
 * Waits for a process, lets it live for a moment, kills it unless it has ended, and waits for the
 * next one. It is Perl because Debian always has it, and fast because a start script lives for some
 * hundredths of a second.
 */
const killer = `
use strict;
my ($pattern, $delay, $stop) = @ARGV;
sub pause { select undef, undef, undef, $_[0] }
sub text { open my $file, '<', $_[0] or return ''; local $/; my $text = <$file>; return $text // '' }
until (-e $stop) {
  for my $directory (glob '/proc/[0-9]*') {
    (my $command = text("$directory/cmdline")) =~ tr/\\0/ /;
    next unless $command =~ m{$pattern};
    my ($unit) = text("$directory/cgroup") =~ m{/([^/\\n]+[.]service)} or next;
    pause $delay;
    my ($same) = text("$directory/cgroup") =~ m{/([^/\\n]+[.]service)} or next;
    next unless $same eq $unit and $directory =~ m{(\\d+)$} and kill 'KILL', $1;
    print $unit;
    exit;
  }
  pause 0.01;
}
`;

/** Kills processes of a board at given moments. */
export class Kills {
  private readonly board: Board;
  private number = 0;

  private constructor(board: Board) {
    this.board = board;
  }

  static async on(board: Board): Promise<Kills> {
    await board.copyIn(Buffer.from(killer), killerPath);
    return new Kills(board);
  }

  /**
   * Kills a target once it has lived for `delayMs`.
   *
   * @returns `missed` ends the wait for a target that does not come; `outcome` is undefined if
   *   there was none
   */
  aim(target: Target, delayMs: number): { missed(): Promise<void>; outcome: Promise<Killed | undefined> } {
    const stop = `/run/soak-stop-${++this.number}`;
    const command = `perl ${killerPath} '${commands[target]}' ${delayMs / 1000} ${stop}`;
    const outcome = this.board
      .check(command, { timeoutMs: 300_000 })
      .then((unit) => (unit === '' ? undefined : { target, unit }));
    outcome.catch(() => undefined); // callers that await it get the error
    return {
      missed: async () => {
        await this.board.check(`touch ${stop}`);
        await outcome;
        await this.board.check(`rm ${stop}`);
      },
      outcome,
    };
  }
}
