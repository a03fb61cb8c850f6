import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Calls of ARM, and one that Linux has no longer, that libseccomp knows and systemd does not. */
const others = [
  ...['arm_sync_file_range', 'breakpoint', 'get_tls', 'set_tls', 'usr26', 'usr32'],
  'nfsservctl',
];

/**
 * The names of system calls that systemd knows, with those of other architectures; undefined where
 * there is no systemd-analyze. Names that it does not know are not known to libseccomp either, with
 * the exception of calls that are younger than this systemd.
 *
 * @param program systemd-analyze(1)
 */
export async function systemCalls(program = 'systemd-analyze'): Promise<ReadonlySet<string> | undefined> {
  const words = ['syscall-filter', '@known', '@obsolete'];
  const answer = await promisify(execFile)(program, words, { timeout: 20_000 }).catch(() => undefined);
  return answer && new Set([...(answer.stdout.match(/(?<=^ +)[a-z_]\w*$/gm) ?? []), ...others]);
}
