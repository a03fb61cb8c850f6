import { main } from '../../src/cli/main.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

export interface Run {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A terminal that records output; by default not live and without colours. */
export function recordingTerminal(changes: Partial<Terminal> = {}) {
  const lines: string[] = [];
  const errors: string[] = [];
  const stop = new AbortController();
  const terminal: Terminal = {
    out: (text) => lines.push(text),
    err: (text) => errors.push(text),
    isLive: false,
    hasColour: false,
    columns: 0,
    stop: stop.signal,
    ...changes,
  };
  return {
    terminal,
    stop: () => stop.abort(new Error('Ctrl-C')),
    out: () => lines.map((line) => `${line}\n`).join(''),
    err: () => errors.join(''),
  };
}

/** Runs a command line in this process. */
export async function wherry(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Run> {
  const { terminal, out, err } = recordingTerminal();
  const status = await main(args, environment, terminal);
  return { status, out: out(), err: err() };
}
