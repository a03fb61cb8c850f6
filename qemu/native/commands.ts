import { spawn, type StdioOptions } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ChannelError } from '../guest-channel.ts';
import type { BoardGroup } from './control-group.ts';

/** The environment of a command on a board, the same on every board. */
const environment = [
  ...['HOME=/root', 'LANG=C.UTF-8', 'LC_ALL=C', 'TERM=dumb'],
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
];

/**
 * Enters a separate group below the board's, which no unit of the board uses, then the board.
 */
const enter = 'echo $$ >"$0/cgroup.procs"; exec "$@"';

export type CommandResult = { readonly status: number; readonly stdout: Buffer; readonly stderr: Buffer };

/** Runs commands in the namespaces of a board. */
export class Commands {
  readonly #leader: number;
  readonly #runDir: string;
  readonly #group: string;
  #count = 0;

  constructor(leader: number, group: BoardGroup, runDir: string) {
    this.#leader = leader;
    this.#runDir = runDir;
    // nspawn puts the board into "payload".
    this.#group = join(group.path, 'payload/wherry-rig');
    mkdirSync(this.#group, { recursive: true });
  }

  /**
   * @param argv a program of the board with its arguments
   * @throws ChannelError when the board ends before the command has
   */
  async run(
    argv: readonly string[],
    options: { readonly stdin?: string | Uint8Array; readonly signal?: AbortSignal } = {},
  ): Promise<CommandResult> {
    options.signal?.throwIfAborted();
    const base = join(this.#runDir, `command${this.#count++}`);
    // Files, because a process that the command leaves behind would keep a pipe open.
    const [out, err] = [openSync(`${base}.out`, 'w'), openSync(`${base}.err`, 'w')];
    try {
      // Ends with the nsenter above it, which ends when the caller times out.
      const bound = ['setpriv', '--pdeathsig', 'KILL', '--', ...argv];
      const status = await this.#start(
        ['env', '-i', '-C', '/root', ...environment, ...bound],
        [options.stdin === undefined ? 'ignore' : 'pipe', out, err],
        options,
      );
      return { status, stdout: readFileSync(`${base}.out`), stderr: readFileSync(`${base}.err`) };
    } finally {
      closeSync(out);
      closeSync(err);
      for (const end of ['out', 'err']) rmSync(`${base}.${end}`, { force: true });
    }
  }

  /** Joins this process's terminal to a login shell of the board until it ends. */
  async terminal(): Promise<void> {
    const term = `TERM=${process.env['TERM'] ?? 'dumb'}`;
    const shell = [
      'env',
      '-i',
      '-C',
      '/root',
      ...environment.filter((one) => !/^(TERM|LC_ALL)=/.test(one)),
      term,
    ];
    await this.#start([...shell, '/bin/bash', '-l'], 'inherit', {});
  }

  async #start(
    argv: readonly string[],
    stdio: StdioOptions,
    options: { readonly stdin?: string | Uint8Array; readonly signal?: AbortSignal },
  ): Promise<number> {
    const namespaces = ['-t', String(this.#leader), '-m', '-u', '-i', '-n', '-p', '-C'];
    const child = spawn('sh', ['-c', enter, this.#group, 'nsenter', ...namespaces, '--', ...argv], {
      stdio,
      ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: 'SIGKILL' as const }),
    });
    child.stdin?.on('error', () => undefined); // a command need not read its input
    child.stdin?.end(options.stdin);
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done, fail) => {
      child.once('error', fail);
      child.once('exit', (...how) => done(how));
    });
    // nsenter ends as its command did, by a signal too.
    if (signal !== null && isEnding(this.#leader))
      throw new ChannelError('The board stopped before it answered.');
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  }
}

/**
 * Whether a process has ended or is about to (`PF_EXITING` among the flags of proc_pid_stat(5)).
 */
function isEnding(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
    return (flags & 4) !== 0;
  } catch {
    return true;
  }
}
