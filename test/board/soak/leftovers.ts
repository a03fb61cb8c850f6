import type { Board } from '../../../qemu/index.ts';
import type { Killed } from './kills.ts';

/**
 * What a board has of a set of pods, each list sorted. Equal values mean that the board has the
 * same set and nothing else.
 */
export interface Remains {
  /** Units of pods and images that systemd has loaded, with their states. */
  readonly loaded: readonly string[];
  readonly unitFiles: readonly string[];
  readonly mounts: readonly string[];
  readonly controlGroups: readonly string[];
  /**
   * Directories of containers, mount points of images, and jobs below /run/wherry; systemd's files
   * of log fields.
   */
  readonly run: readonly string[];
  /** Objects, downloads and pods below /var/lib/wherry. */
  readonly stored: readonly string[];
  readonly failed: readonly string[];
}

const look: Readonly<Record<keyof Remains, string>> = {
  loaded: `systemctl list-units --all --plain --no-legend 'wherry-pod-*' 'wherry-holder-*' 'run-wherry-images-*' | awk '{ print $1, $3, $4 }'`,
  unitFiles: `cd /etc/systemd/system && ls | grep -E '^(wherry-|run-wherry-)'`,
  mounts: `awk '$5 ~ "/wherry/" { print $5 }' /proc/self/mountinfo`,
  controlGroups: `cd /sys/fs/cgroup && find . -name 'wherry-pod-*' -o -name 'wherry-holder-*' -o -name 'wherry-pull@*'`,
  run: `cd /run/wherry && find apps images pull examine -mindepth 1 -maxdepth 1; ls /run/systemd/units | grep log-extra-fields:wherry-`,
  stored: `cd /var/lib/wherry && find images pods partial -mindepth 1 -maxdepth 1`,
  failed: `systemctl list-units --state=failed --plain --no-legend 'wherry-*' 'run-wherry-*' | awk '{ print $1 }'`,
};

export async function remainsOf(board: Board): Promise<Remains> {
  const output = await board.check(
    Object.entries(look)
      .map(([name, command]) => `( ${command} ) 2>/dev/null | sort | sed 's/^/${name} /'`)
      .join('\n'),
  );
  const lines = output.split('\n');
  const of = (name: keyof Remains): readonly string[] =>
    lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
  return {
    loaded: of('loaded'),
    unitFiles: of('unitFiles'),
    mounts: of('mounts'),
    controlGroups: of('controlGroups'),
    run: of('run'),
    stored: of('stored'),
    failed: of('failed'),
  };
}

/** Lines that no run of wherry may leave in the journal. */
const wrong =
  /not our child|remains running|still around after|timed out|WHERRY_CODE=internal|\binternal error\b|^\s+at .*[:(]\d+|Error: |Killing process \d+ .* with signal SIGKILL|Failed with result/;
/**
 * What systemd logs about a unit in which the soak killed a process, or that was stopped before its
 * start was complete. If the script that releases an app is killed, systemd signals the app before
 * it has set a handler, and kills it after the stop timeout.
 */
const followsKill =
  /([^ ]+): (State 'stop-sigterm' timed out|Killing process \d+ .* with signal SIGKILL|Failed with result)/;
/**
 * What systemd logs about an app that is stopped before it has set a handler for its stop signal:
 * it is killed at once (device/pod/stop-script.ts).
 */
const followsDeafness = /([^ ]+): Failed with result 'signal'/;

/** Reads the journal of a board in steps. */
export class JournalCheck {
  private readonly board: Board;
  private readonly starting = new Set<string>();
  private readonly startedAt = new Map<string, number>();
  /** Units that were stopped within a second of their start. */
  private readonly deaf = new Set<string>();
  private cursor = '';

  constructor(board: Board) {
    this.board = board;
  }

  /** Lines since the last call that look wrong and that no kill explains. */
  async wrongLines(killed: readonly Killed[]): Promise<readonly string[]> {
    const since = this.cursor === '' ? '' : `--after-cursor='${this.cursor}'`;
    const output = await this.board.check(
      `journalctl --sync; journalctl -b -q -o short-precise --show-cursor ${since}`,
      { timeoutMs: 120_000 },
    );
    this.cursor = /^-- cursor: (.+)$/m.exec(output)?.[1] ?? this.cursor;
    const units = new Set(killed.map(({ unit }) => unit));
    return output.split('\n').filter((line) => {
      const [, step, named] = /systemd\[1\]: (Starting|Started|Stopping) (\S+)/.exec(line) ?? [];
      if (named !== undefined && step !== undefined) this.follow(named, step, secondOf(line));
      if (!wrong.test(line)) return false;
      const [, late = ''] = followsDeafness.exec(line) ?? [];
      if (this.deaf.has(late)) return false;
      const [, unit = ''] = followsKill.exec(line) ?? [];
      return !units.has(unit) && !this.starting.has(unit);
    });
  }

  /** Records a step of systemd with a unit, at a second of the day. */
  private follow(unit: string, step: string, second: number): void {
    if (step === 'Starting') this.starting.add(unit);
    if (step === 'Started') {
      this.starting.delete(unit);
      this.startedAt.set(unit, second);
    }
    if (step !== 'Stopping') return;
    if (second - (this.startedAt.get(unit) ?? -Infinity) < 1) this.deaf.add(unit);
    else this.deaf.delete(unit);
  }
}

/** The second of the day of a line in journalctl's format `short-precise`. */
function secondOf(line: string): number {
  const [, hours, minutes, seconds] = / (\d\d):(\d\d):(\d\d\.\d+) /.exec(line) ?? [];
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}
