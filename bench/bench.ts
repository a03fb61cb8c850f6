import type { Board } from '../qemu/index.ts';
import type { Scene } from '../test/board/scene.ts';
import { median, type Measurement } from './table.ts';

/** The parameters of a group of measurements. */
export interface Bench {
  /** The board, booted at its first use. */
  readonly scene: () => Promise<Scene>;
  /** How often each variant is measured; the median counts. */
  readonly rounds: number;
  /** Sizes of the images that are pulled, in megabytes of download. */
  readonly pullMegabytes: readonly [number, number];
  /** How long the idle board is watched. */
  readonly idleMinutes: number;
  /** Prints progress. */
  readonly say: (sentence: string) => void;
}

/** Measurements that share their preparation. */
export interface Group {
  /** A description, for `--help`. */
  readonly about: string;
  /**
   * Takes long and requires another board than the default one, so it must be requested by name.
   */
  readonly onlyByName?: true;
  readonly measure: (bench: Bench) => Promise<readonly Measurement[]>;
}

/**
 * Runs variants in turn, so that a temporary slowdown of the board affects all of them.
 *
 * @returns the median of what each variant returned
 */
export async function inTurn<Name extends string>(
  bench: Bench,
  variants: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number>> {
  const values = await roundsOf(bench, variants);
  return mapValues(values, median);
}

/**
 * Like {@link inTurn}, but returns every value: one list for each variant, in the order of the
 * rounds.
 */
export async function roundsOf<Name extends string>(
  bench: Bench,
  variants: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number[]>> {
  const values = mapValues(variants, (): number[] => []);
  for (let round = 1; round <= bench.rounds; round++) {
    for (const name of Object.keys(variants) as Name[]) {
      const value = await variants[name]();
      values[name].push(value);
      bench.say(`  round ${round}, ${name}: ${value.toFixed(2)}`);
    }
  }
  return values;
}

/**
 * Runs a script on the board and returns the last number that it prints. Scripts measure time with
 * the board's clock, so that the connection to the board does not count.
 */
export async function numberFrom(board: Board, script: string, timeoutMs = 300_000): Promise<number> {
  const output = await board.check(`set -eu -o pipefail\n${shellFunctions}\n${script}`, { timeoutMs });
  const last = output.trim().split('\n').at(-1) ?? '';
  const value = Number(last);
  if (last === '' || !Number.isFinite(value)) throw new Error(`no number in ${JSON.stringify(output)}`);
  return value;
}

/** Seconds that a script takes on the board. */
export async function secondsOf(board: Board, script: string, timeoutMs = 300_000): Promise<number> {
  return await numberFrom(board, `start=$(now)\n{ ${script}\n} >&2\nsince "$start"`, timeoutMs);
}

/**
 * `now` prints the seconds of the clock, to a microsecond; nothing sets the clock while a board is
 * measured. `since START [END]` prints the difference. `at` reads one JSON line of journalctl and
 * prints when journald received the message, by the same clock.
 */
const shellFunctions = `
now() { echo "$EPOCHREALTIME"; }
since() { awk -v a="$1" -v b="\${2:-$(now)}" 'BEGIN { printf "%.6f\\n", b - a }'; }
at() { sed -E 's/.*"__REALTIME_TIMESTAMP":"([0-9]+)([0-9]{6})".*/\\1.\\2/'; }
`;

/**
 * Modules of Node that wherryd uses. A process that only loads them is the peer of wherryd.
 */
export const coreModules = ['net', 'tls', 'crypto', 'zlib', 'http', 'child_process', 'worker_threads', 'fs'];

function mapValues<Name extends string, From, To>(
  from: Readonly<Record<Name, From>>,
  change: (value: From) => To,
): Record<Name, To> {
  const entries = (Object.entries(from) as [Name, From][]).map(([name, value]) => [name, change(value)]);
  return Object.fromEntries(entries) as Record<Name, To>;
}
