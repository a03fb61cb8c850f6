import { readFile } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';
import type { Owner } from '../store/index.ts';

/**
 * The user ID and group ID of an account of the device.
 * @throws Refusal `device-unsupported`
 */
export async function accountOf(user: string): Promise<Owner> {
  const passwd = await readFile('/etc/passwd', 'utf8');
  const fields = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user);
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
  if (!Number.isSafeInteger(uid) || !Number.isSafeInteger(gid)) {
    throw new Refusal('device-unsupported', `there is no user ${user}; systemd-sysusers makes it`);
  }
  return { uid, gid };
}
