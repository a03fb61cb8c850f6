import { Refusal } from '../../core/refusal/index.ts';

/** What a program that is run in an app gets in addition to the process of the app. */
export interface ExecInput {
  readonly command: readonly string[];
  readonly hasTerminal: boolean;
  /** The kind of the caller's terminal, from TERM. */
  readonly term: string | undefined;
}

interface BundleProcess {
  readonly env?: readonly string[];
}

/**
 * The process of a bundle (OCI runtime specification, `process`) with another command: user,
 * groups, capabilities, no_new_privs, labels, environment and directory stay the app's.
 * Without a process, `crun exec` begins in `/`.
 *
 * @param config config.json of the app's bundle
 */
export function execProcess(config: string, input: ExecInput): string {
  const { process } = JSON.parse(config) as { readonly process: BundleProcess };
  const env = process.env ?? [];
  const isKept = (entry: string) => input.term === undefined || !entry.startsWith('TERM=');
  return JSON.stringify({
    ...process,
    terminal: input.hasTerminal,
    args: input.command,
    env: input.hasTerminal
      ? [...env.filter(isKept), ...(input.term === undefined ? [] : [`TERM=${input.term}`])]
      : env,
  });
}

/**
 * The first error in crun's log, in JSON; undefined when crun ran the program. An object takes one
 * line with crun 1.21 (Debian 13), several with 1.28, and the last one may have been cut off.
 */
export function crunError(log: string): string | undefined {
  let object = '';
  for (const line of log.split('\n')) {
    object = line.startsWith('{') ? line : object + line;
    if (!object.endsWith('}')) continue;
    const entry = parsed(object);
    if (entry?.level === 'error') return String(entry.msg);
  }
  return undefined;
}

/** The refusal of a program that crun did not run. */
export function notRun(
  { app, pod }: { readonly app: string; readonly pod: string },
  program: string | undefined,
  error: string,
): Refusal {
  return new Refusal(
    /not found|No such file|not executable|not a regular/.test(error) ? 'not-found' : 'device-unsupported',
    `${JSON.stringify(program)} was not run in the app ${app} of the pod ${pod}: ${error}`,
  );
}

function parsed(object: string): { readonly level?: unknown; readonly msg?: unknown } | undefined {
  try {
    return JSON.parse(object) as { readonly level?: unknown; readonly msg?: unknown };
  } catch {
    return undefined; // the rest of it follows
  }
}
