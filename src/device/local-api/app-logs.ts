import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { isAcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { WriteLine } from './line-stream.ts';

export interface LogChoice {
  readonly pod: string;
  /** Only of this version of the pod. */
  readonly uuid?: string;
  /** All apps of the pod without it. */
  readonly app?: string;
  readonly follow?: boolean;
  readonly lines?: number;
  /** In a form that journalctl accepts. */
  readonly since?: string;
  /** One JSON object for each entry of the journal. */
  readonly json?: boolean;
}

/** One line that a pod wrote. */
export interface LogLine {
  /** RFC 3339, in UTC. */
  readonly at: string;
  /** Empty for what the attachment of the network of the pod writes. */
  readonly app: string;
  readonly text: string;
}

/** How long journalctl may search. */
const searchMs = 10_000;
/** Entries are read as JSON, with some 2 KB of fields around each line. */
const maxJournalBytes = 8 << 20;
/** With --all a long line is printed, not left out. */
const fields = ['--all', '--output-fields=MESSAGE,WHERRY_APP,__REALTIME_TIMESTAMP'];

/**
 * The command line of journalctl that shows the output of a pod. Its journal entries have the
 * fields WHERRY_POD and WHERRY_APP.
 *
 * @throws Refusal `usage` for names that are not AC Names
 */
export function journalCommand(choice: LogChoice): readonly string[] {
  const { pod, uuid, app, since } = choice;
  for (const name of app === undefined ? [pod] : [pod, app]) {
    if (!isAcName(name))
      throw new Refusal('usage', `${JSON.stringify(name)} is not the name of a pod or an app`);
  }
  return [
    'journalctl',
    '--no-pager',
    `--output=${choice.json === true ? 'json' : 'short-iso'}`,
    ...(choice.follow === true ? ['--follow'] : []),
    ...(choice.lines === undefined ? [] : [`--lines=${choice.lines}`]),
    ...(since === undefined ? [] : [`--since=${since}`]),
    // Without what the start of an app itself logs.
    '_TRANSPORT=stdout',
    `WHERRY_POD=${pod}`,
    ...(uuid === undefined ? [] : [`WHERRY_POD_UUID=${uuid}`]),
    ...(app === undefined ? [] : [`WHERRY_APP=${app}`]),
  ];
}

/**
 * The newest lines that a pod wrote, oldest first.
 *
 * @throws Refusal `usage`, `input-invalid` for a time that journalctl does not accept,
 *   `device-unsupported` when the journal cannot be read in time
 */
export async function readLog(choice: LogChoice & { readonly lines: number }): Promise<readonly LogLine[]> {
  const [program = '', ...args] = journalCommand({ ...choice, json: true });
  try {
    const bounds = { timeout: searchMs, maxBuffer: maxJournalBytes };
    const { stdout } = await promisify(execFile)(program, [...fields, ...args], bounds);
    return stdout.split('\n').filter(Boolean).map(logLine);
  } catch (cause) {
    const { stderr = '' } = cause as { readonly stderr?: string };
    refuseOtherTimes(choice, stderr);
    throw new Refusal(
      'device-unsupported',
      `the journal cannot be read, or not in ${searchMs / 1000} s and ${maxJournalBytes >> 20} MiB; request fewer lines${stderr === '' ? '' : `: ${stderr.trim().slice(0, 200)}`}`,
      { cause },
    );
  }
}

/** @throws Refusal `input-invalid` if `stderr` of journalctl says that it does not know the time */
export function refuseOtherTimes({ since }: Pick<LogChoice, 'since'>, stderr: string): void {
  if (since === undefined || !/timestamp/i.test(stderr)) return;
  throw new Refusal('input-invalid', `journalctl does not know the time ${JSON.stringify(since)}`);
}

/**
 * Writes the newest lines of a pod, and then each line that it logs. A slow reader makes journalctl
 * wait, so nothing is buffered here.
 *
 * @param signal ends it
 * @throws Refusal `device-unsupported` when the journal ends
 */
export async function followLog(
  choice: LogChoice & { readonly lines: number },
  write: WriteLine,
  signal: AbortSignal,
): Promise<void> {
  const [program = '', ...args] = journalCommand({ ...choice, follow: true, json: true });
  const child = spawn(program, [...fields, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = () => void child.kill('SIGKILL');
  child.on('error', end);
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  try {
    for await (const line of createInterface({ input: child.stdout })) await write(logLine(line));
    throw new Refusal('device-unsupported', 'journalctl has ended; repeat the request');
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/** An entry as `journalctl --output=json` prints it (systemd.journal-fields(7)). */
function logLine(line: string): LogLine {
  const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { MESSAGE: message, WHERRY_APP: app } = entry;
  // Bytes that are not text are given as a list of numbers.
  const text = Array.isArray(message) ? Buffer.from(message as number[]).toString('utf8') : message;
  return {
    at: new Date(Number(entry['__REALTIME_TIMESTAMP']) / 1000).toISOString(),
    app: typeof app === 'string' ? app : '',
    text: typeof text === 'string' ? text : '',
  };
}
