/** One measurement, before it is compared with its bound. */
export interface Measurement {
  /** The measured value, with the unit of `ours` and `peer`, and the peer. */
  readonly name: string;
  readonly ours: number;
  /** Absent when nothing is compared. */
  readonly peer?: number;
  /**
   * The upper bound of `ours / peer`, or of `ours` without a peer. Absent when the line is for
   * information.
   */
  readonly bound?: number;
}

/** One line of the table; `--json` prints these. */
export interface Row {
  readonly name: string;
  readonly ours: number;
  readonly peer: number | null;
  /** `ours / peer`; null without a peer. */
  readonly ratio: number | null;
  /** Of `ratio`, or of `ours` where `ratio` is null; null for information. */
  readonly bound: number | null;
  /** True without a bound. */
  readonly ok: boolean;
}

/**
 * The median of some numbers; for an even count, the mean of the two in the middle.
 * @throws RangeError for an empty list
 */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle];
  if (high === undefined) throw new RangeError('no numbers have no median');
  if (sorted.length % 2 === 1) return high;
  return (high + (sorted[middle - 1] ?? high)) / 2;
}

/** A line through two points: the growth of `y` per `x`, and `y` at zero. */
export function line(
  from: { readonly x: number; readonly y: number },
  to: { readonly x: number; readonly y: number },
): { slope: number; intercept: number } {
  if (from.x === to.x) throw new RangeError('a line needs two points');
  const slope = (to.y - from.y) / (to.x - from.x);
  return { slope, intercept: from.y - slope * from.x };
}

/** Judges a measurement. Bounds apply to the measured value, not to the rounded one. */
export function judge({ name, ours, peer, bound }: Measurement): Row {
  for (const value of peer === undefined ? [ours] : [ours, peer]) {
    if (!Number.isFinite(value)) throw new RangeError(`${name}: ${value} is not a measurement`);
  }
  const ratio = peer === undefined ? null : ours / peer;
  if (ratio !== null && !Number.isFinite(ratio))
    throw new RangeError(`${name}: there is no ratio to ${peer}`);
  return {
    name,
    ours: rounded(ours),
    peer: peer === undefined ? null : rounded(peer),
    ratio: ratio === null ? null : rounded(ratio),
    bound: bound ?? null,
    ok: bound === undefined || (ratio ?? ours) <= bound,
  };
}

/** The table for people. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    shown(row.ours),
    shown(row.peer),
    shown(row.ratio),
    row.bound === null ? '' : `${row.ratio === null ? 'ours ' : ''}≤ ${row.bound}`,
    row.bound === null ? '' : row.ok ? 'ok' : 'MISSED',
  ]);
  const all = [['name', 'ours', 'peer', 'ratio', 'bound', 'ok'], ...cells];
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || column > 3 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return lines.join('\n');
}

/** Three digits after the point exceed the precision of every measurement. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function shown(value: number | null): string {
  if (value === null) return '';
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}
