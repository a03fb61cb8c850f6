import { chmod, chown, readFile } from 'node:fs/promises';
import type { Journal } from '../../core/ports/index.ts';

/**
 * Lets the members of `group` use the local API; without a group, only root. systemd creates the
 * socket for root alone before wherryd starts.
 */
export async function admitGroup(path: string, group: string | undefined, journal: Journal): Promise<void> {
  try {
    const gid = group === undefined ? 0 : groupId(await readFile('/etc/group', 'utf8'), group);
    if (gid === undefined) {
      journal.log(
        'error',
        `wherry.toml: api.group is ${group}, which is not a group of this device; the local API answers root alone`,
        { WHERRY_CODE: 'config-invalid' },
      );
    }
    // Closed first: the previous group must not connect during the change.
    await chmod(path, 0o600);
    await chown(path, 0, gid ?? 0);
    if (group !== undefined && gid !== undefined) await chmod(path, 0o660);
  } catch (error) {
    const advice = 'systemctl restart wherry-api.socket wherryd';
    journal.log('warning', `the local API cannot be offered: ${String(error)}; try "${advice}"`);
  }
}

/** The number of a group, by the text of /etc/group (group(5)). */
export function groupId(text: string, group: string): number | undefined {
  const fields = text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group);
  return fields?.[2] !== undefined && /^[0-9]{1,10}$/.test(fields[2]) ? Number(fields[2]) : undefined;
}
