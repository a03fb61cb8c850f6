import type { Board } from '../../../qemu/index.ts';
import type { Killed } from './kills.ts';

/** What a board has of a set of pods, each list sorted. Equal values mean: the same set, and nothing else. */
export interface Remains {
  /** Units of pods and images that systemd has loaded, with their states. */
  readonly loaded: readonly string[];
  readonly unitFiles: readonly string[];
  readonly mounts: readonly string[];
  readonly controlGroups: readonly string[];
  /** Directories of containers, mount points of images, and jobs below /run/wherry. */
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
  run: `cd /run/wherry && find apps images pull examine -mindepth 1 -maxdepth 1`,
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
/** What systemd says of a unit in which the soak killed a process. */
const followsKill = /Killing process \d+ .* with signal SIGKILL|Failed with result/;

/** The lines of the journal that look wrong and that no kill explains, since a cursor; and the next cursor. */
export async function wrongLines(
  board: Board,
  cursor: string,
  killed: readonly Killed[],
): Promise<{ lines: readonly string[]; cursor: string }> {
  const since = cursor === '' ? '' : `--after-cursor='${cursor}'`;
  const output = await board.check(
    `journalctl --sync; journalctl -b -q -o short-precise --show-cursor ${since}`,
    {
      timeoutMs: 120_000,
    },
  );
  const units = [...new Set(killed.map(({ unit }) => unit))];
  const lines = output
    .split('\n')
    .filter((line) => wrong.test(line))
    .filter((line) => !(followsKill.test(line) && units.some((unit) => line.includes(`${unit}: `))));
  return { lines, cursor: /^-- cursor: (.+)$/m.exec(output)?.[1] ?? cursor };
}
