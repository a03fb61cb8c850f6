import { paint, type Colour, type Terminal } from './terminal.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `13 B`, `1.5 KiB`, `64.0 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** The beginning of an image ID that is enough to tell images apart: `sha512-0123456789ab`. */
export function shortImageId(id: string): string {
  return id.slice(0, 19);
}

/** `12.3 of 64.0 MiB (19 %)`; only the first number without a limit. */
export function formatUse(bytes: number | undefined, limit: number | undefined): string {
  if (bytes === undefined) return limit === undefined ? '-' : `? of ${formatBytes(limit)}`;
  if (limit === undefined || limit === 0) return formatBytes(bytes);
  return `${formatBytes(bytes)} of ${formatBytes(limit)} (${Math.round((100 * bytes) / limit)} %)`;
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

/**
 * Rows in columns, padded by their visible width without colour codes, with no blanks at line ends.
 */
export function formatTable(
  terminal: Pick<Terminal, 'hasColour'>,
  header: readonly string[],
  rows: readonly (readonly (Cell | string)[])[],
): string {
  const cells = [
    header.map((text): Cell => ({ text, colour: 'dim' })),
    ...rows.map((row) => row.map(toCell)),
  ];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map(({ text, colour }, column) => {
          const padded = column === row.length - 1 ? text : text.padEnd(widths[column] ?? 0);
          return colour === undefined ? padded : paint(terminal, colour, padded);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function toCell(cell: Cell | string): Cell {
  return typeof cell === 'string' ? { text: cell } : cell;
}

/** `12 s`, `5 min`, `3 h`, `40 d`. A time ahead, by another clock, is `0 s`. */
export function formatAge(seconds: number): string {
  if (seconds < 120) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Names in a sentence: all, or the first eight and the number of the others. */
export function firstNames(names: readonly string[]): string {
  const most = 8;
  const more = names.length - most;
  return names.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
