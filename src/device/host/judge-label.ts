import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { JudgeLabel, LabelVerdict } from '../pod/index.ts';
import { readSmallFile } from './host.ts';

const profileList = '/sys/kernel/security/apparmor/profiles';
const selinux = '/sys/fs/selinux';

/** What SELinux says about itself and its policy. */
export interface SelinuxKernel {
  /** `1` when it enforces its policy; undefined when the kernel runs without SELinux. */
  readonly enforce: string | undefined;
  /** The context of this process, which is `kernel` until a policy is loaded. */
  readonly own: string | undefined;
  /** Computes what one context may do to another. @throws an error of the kernel */
  readonly access: (query: string) => string;
}

/** Queries the security modules of the kernel. */
export const judgeLabel: JudgeLabel = (kind, label) =>
  kind === 'os/linux/apparmor-profile'
    ? judgeProfile(label, readSmallFile(profileList))
    : judgeContext(label, {
        enforce: readSmallFile(`${selinux}/enforce`),
        own: readSmallFile('/proc/self/attr/current'),
        access: selinuxAccess,
      });

/**
 * @param list names and modes of the loaded profiles, `docker-default (enforce)` in each line;
 *   undefined on a kernel without AppArmor
 */
export function judgeProfile(profile: string, list: string | undefined): LabelVerdict {
  if (list === undefined) return 'absent';
  const loaded = [...list.matchAll(/^(.*) \(([a-z]+)\)$/gm)];
  const mode = loaded.find(([, name]) => name === profile)?.[2];
  if (mode === undefined) return 'unknown';
  return mode === 'complain' || mode === 'unconfined' ? 'permissive' : 'enforced';
}

export function judgeContext(context: string, { enforce, own, access }: SelinuxKernel): LabelVerdict {
  if (enforce === undefined || own?.includes(':') !== true) return 'absent';
  try {
    // The answer ends with flags; the lowest says that the type is permissive.
    const flags = Number.parseInt(access(`${context} ${context} 1`).trim().split(' ').at(-1) ?? '', 16);
    return enforce.trim() === '1' && flags % 2 === 0 ? 'enforced' : 'permissive';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EINVAL' || code === 'EFBIG' ? 'unknown' : 'unchecked';
  }
}

/** The kernel answers where the query was written, to the same descriptor. */
function selinuxAccess(query: string): string {
  const file = openSync(`${selinux}/access`, 'r+');
  try {
    writeSync(file, query);
    const answer = Buffer.alloc(256);
    return answer.toString('latin1', 0, readSync(file, answer));
  } finally {
    closeSync(file);
  }
}
