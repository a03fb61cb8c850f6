import { asLocalRefusal, exitCodeOf, isRefusal } from '../core/refusal/index.ts';

/** Where a command writes, and what can be shown there. Tests use their own. */
export interface Terminal {
  /** Results, for people or, with --json, for programs. */
  out(text: string): void;
  /** Errors and progress. */
  err(text: string): void;
  /** Whether `err` is a terminal on which lines can be drawn over. */
  readonly isLive: boolean;
  /** Whether results may be coloured. */
  readonly hasColour: boolean;
  readonly columns: number;
  /** Asks a person and returns the answer; absent without a terminal. */
  readonly ask?: (question: string) => Promise<string>;
  /** Aborted by Ctrl-C, SIGTERM and a terminal that is closed; the reason is a `Stopped`. */
  readonly stop: AbortSignal;
  /** Passes the signals that abort `stop` to `taker` from now on, for a child program. */
  readonly handSignals?: (taker: (signal: StopSignal) => void) => void;
}

/**
 * The signals that end a command, and the exit status that shells expect then: 128 and the signal's
 * number.
 */
const stopSignals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

type StopSignal = keyof typeof stopSignals;

/** Why a command was stopped. */
export class Stopped extends Error {
  readonly status: number;

  constructor(signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.name = 'Stopped';
    this.status = stopSignals[signal];
  }
}

/**
 * Runs work that leaves something half done when the process ends. A stop signal that came before
 * prevents it; for one that comes meanwhile `main` waits a moment (main.ts).
 */
export async function unbroken<T>({ stop }: Pick<Terminal, 'stop'>, work: () => Promise<T>): Promise<T> {
  stop.throwIfAborted();
  const isHeard = (): void => undefined;
  stop.addEventListener('abort', isHeard);
  try {
    return await work();
  } finally {
    stop.removeEventListener('abort', isHeard);
  }
}

/** A program that a command ran ended with this status; the command exits with the same. */
export class EndedWith extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the program ended with status ${status}`);
    this.name = 'EndedWith';
    this.status = status;
  }
}

/**
 * The terminal of this process. Colours follow https://no-color.org: only on a terminal, and never
 * with NO_COLOR.
 */
export function processTerminal(): Terminal {
  const stop = new AbortController();
  let taker: ((signal: StopSignal) => void) | undefined;
  for (const signal of Object.keys(stopSignals) as StopSignal[]) {
    process.on(signal, () => {
      if (taker !== undefined) {
        taker(signal);
        return;
      }
      // A second signal ends the process at once.
      if (stop.signal.aborted) process.exit(stopSignals[signal]);
      stop.abort(new Stopped(signal));
    });
  }
  process.stdout.on('error', (error: Error) => process.exit(statusWithOutput(0, error)));
  // A closed stderr does not stop a command: the exit status still reports the result.
  process.stderr.on('error', () => undefined);
  return {
    out: (text) => process.stdout.write(`${text}\n`),
    err: (text) => process.stderr.write(text),
    isLive: process.stderr.isTTY && process.env['TERM'] !== 'dumb',
    hasColour:
      process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb',
    columns: process.stdout.isTTY ? process.stdout.columns : 0,
    stop: stop.signal,
    handSignals: (next) => void (taker = next),
    ...(process.stdin.isTTY && process.stderr.isTTY
      ? { ask: (question: string) => ask(question, stop.signal) }
      : {}),
  };
}

/**
 * Resolves when all output was written, or at once when a signal has stopped the command. Node
 * keeps in memory what a full pipe does not take, and loses it when the process exits. A signal
 * ends the process at once from now on.
 */
export async function outputWritten({ stop, handSignals }: Terminal): Promise<void> {
  if (stop.aborted) return;
  handSignals?.((signal) => process.exit(new Stopped(signal).status));
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength === 0) continue;
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
}

/**
 * The exit status of a command that ended with `status`, given whether its output was written. A
 * closed pipe (`wherry status | head`) only ends the output; a result that a full disk did not take
 * is a failure, also where the program ends before the stream reports it.
 *
 * @param errored the error that the stream has reported; it forgets it then
 */
export function statusWithOutput(status: number, errored = process.stdout.errored): number {
  if (status !== 0 || errored === null || (errored as NodeJS.ErrnoException).code === 'EPIPE') return status;
  const error = asLocalRefusal(errored, 'standard output');
  const code = isRefusal(error) ? error.code : 'disk-failed';
  process.stderr.write(`wherry: ${isRefusal(error) ? error.message : String(errored)} (${code})\n`);
  return exitCodeOf(code);
}

async function ask(question: string, signal: AbortSignal): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal });
  } finally {
    lines.close();
  }
}

const colours = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const;

export type Colour = keyof typeof colours;

/** `text` in `colour` where the terminal has colours. */
export function paint(terminal: Pick<Terminal, 'hasColour'>, colour: Colour, text: string): string {
  return terminal.hasColour ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text;
}

/**
 * Replaces the line of the cursor. The terminal cuts it at its edge: a line that wraps (DECAWM)
 * would take two, of which only one is drawn over.
 */
export function drawnOver(text: string): string {
  return `\r\u001b[2K\u001b[?7l${text}\u001b[?7h`;
}

/**
 * Lines at the bottom of the terminal that are drawn over: one for each device of a deployment.
 * Where lines cannot be drawn over, `update` prints a line whenever its `milestone` changes.
 */
export class LiveLines {
  readonly #terminal: Terminal;
  readonly #lines = new Map<string, string>();
  readonly #milestones = new Map<string, string>();
  #drawn = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  update(key: string, line: string, milestone: string): void {
    this.#lines.set(key, line);
    if (!this.#terminal.isLive) {
      if (this.#milestones.get(key) !== milestone) this.#terminal.err(`${line}\n`);
      this.#milestones.set(key, milestone);
      return;
    }
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    this.#terminal.err(`${up}${[...this.#lines.values()].map((text) => `${drawnOver(text)}\n`).join('')}`);
    this.#drawn = this.#lines.size;
  }
}
