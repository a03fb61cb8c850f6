import { existsSync } from 'node:fs';
import { Refusal } from '../../../core/refusal/index.ts';
import { type LockFile, places, readLocks } from '../../../device/host/index.ts';
import { addLock, approve, lastRecord, removeLock } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';

export interface LockFlags {
  readonly reason: string;
  /** Seconds. */
  readonly for: number;
  /** Survives a reboot. */
  readonly keep?: true;
}

/** `wherry lock add` */
export async function lockDevice(context: Context, name: string, flags: LockFlags): Promise<void> {
  refuseElsewhere();
  const expires = Math.floor(context.clock.nowMs() / 1000) + flags.for;
  const lock = await addLock(places, name, { reason: flags.reason, expires, keep: flags.keep === true });
  const until = new Date(expires * 1000).toISOString();
  const deployment = (await lastRecord())?.report.deployment;
  const begun = deployment?.phase === 'activate' || deployment?.phase === 'probation';
  const but = begun ? `; the activation of version ${deployment.version} has begun and goes on` : '';
  const text = `no version is activated until ${until}, unless it is forced${but}`;
  context.terminal.out(context.json ? JSON.stringify(lock) : text);
}

/** `wherry lock list` */
export function listLocks(context: Context): void {
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const locks = readLocks(places);
  if (context.json) context.terminal.out(JSON.stringify(locks));
  else if (locks.length === 0) context.terminal.out('there is no lock');
  else
    for (const lock of locks)
      context.terminal.out(`${lock.name}  ${stateOf(lock, nowSeconds)}  ${lock.reason}`);
}

/** `wherry lock rm` */
export async function unlockDevice(context: Context, name: string): Promise<void> {
  await removeLock(places, name);
  context.terminal.out(context.json ? JSON.stringify({ name }) : `removed the lock ${name}`);
}

/** `wherry approve` */
export async function approveVersion(
  context: Context,
  version: number,
  { group }: { readonly group?: string },
): Promise<void> {
  refuseElsewhere();
  const text = await approve(places, version, group);
  context.terminal.out(
    context.json ? JSON.stringify({ version, ...(group === undefined ? {} : { group }) }) : text,
  );
}

/** The machine of an operator may have the package, too. What is written there holds nothing. */
function refuseElsewhere(): void {
  if (!existsSync(places.config))
    throw new Refusal('device-unsupported', `there is no ${places.config} here; run this on a device`);
}

function stateOf({ expires }: LockFile, nowSeconds: number): string {
  if (expires === undefined) return 'unreadable';
  return expires > nowSeconds ? `until ${new Date(expires * 1000).toISOString()}` : 'expired';
}
