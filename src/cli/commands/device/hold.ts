import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isAcName } from '../../../image/appc/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  approvalPath,
  lockDirectories,
  type LockFile,
  places,
  readLocks,
} from '../../../device/host/index.ts';
import type { Context } from '../../context.ts';

export interface LockFlags {
  readonly reason: string;
  /** Seconds. */
  readonly for: number;
  /** Holds over a reboot. */
  readonly keep?: true;
}

/** `wherry lock add` */
export async function addLock(context: Context, name: string, flags: LockFlags): Promise<void> {
  refuseOtherNames(name);
  const { boot, kept } = lockDirectories(places);
  const path = join(flags.keep === true ? kept : boot, name);
  const expires = Math.floor(context.clock.nowMs() / 1000) + flags.for;
  await asRoot(async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeFile(path, `${JSON.stringify({ reason: flags.reason, expires })}\n`);
  });
  const until = new Date(expires * 1000).toISOString();
  if (context.json) context.terminal.out(JSON.stringify({ name, path, reason: flags.reason, expires }));
  else context.terminal.out(`no version is activated until ${until}, unless it is forced`);
}

/** `wherry lock list` */
export function listLocks(context: Context): void {
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const locks = readLocks(places);
  if (context.json) context.terminal.out(JSON.stringify(locks));
  else
    for (const lock of locks)
      context.terminal.out(`${lock.name}  ${stateOf(lock, nowSeconds)}  ${lock.reason}`);
}

/** `wherry lock rm` */
export async function removeLock(context: Context, name: string): Promise<void> {
  refuseOtherNames(name);
  const found = readLocks(places).filter((lock) => lock.name === name);
  if (found.length === 0) {
    const names = readLocks(places).map((lock) => lock.name);
    throw new Refusal('not-found', `there is no lock ${name}; locks: ${names.join(', ') || 'none'}`);
  }
  await asRoot(async () => {
    for (const { path } of found) await rm(path);
  });
  context.terminal.out(context.json ? JSON.stringify({ name }) : `removed the lock ${name}`);
}

/** `wherry approve` */
export async function approve(
  context: Context,
  version: number,
  { group }: { readonly group?: string },
): Promise<void> {
  if (group !== undefined) refuseOtherNames(group);
  const path = approvalPath(places, version, group);
  await asRoot(async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeFile(path, '');
  });
  const text = `version ${version} may be activated from now on, in this boot`;
  context.terminal.out(
    context.json ? JSON.stringify({ version, ...(group === undefined ? {} : { group }) }) : text,
  );
}

function stateOf({ expires }: LockFile, nowSeconds: number): string {
  if (expires === undefined) return 'unreadable';
  return expires > nowSeconds ? `until ${new Date(expires * 1000).toISOString()}` : 'expired';
}

function refuseOtherNames(name: string): void {
  if (isAcName(name) && basename(name) === name) return;
  throw new Refusal('usage', `${JSON.stringify(name)} is not a name of lower-case words and dashes`);
}

async function asRoot(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new Refusal('device-unsupported', `${String(cause)}; run this as root on a device`, { cause });
  }
}
