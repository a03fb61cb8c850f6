import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { AcName } from '../../src/image/appc/index.ts';
import type { SecretValue } from '../../src/wire/trust/index.ts';
import type { Scene } from './scene.ts';

/** A value of a secret that no file holds by chance. */
export function secretValue(name: string, start = 'planted'): SecretValue {
  const value = Buffer.from(`${start}-${randomBytes(12).toString('hex')}`);
  return { name: name as AcName, salt: randomBytes(32), value };
}

/** The same bytes in the forms in which a program may have written them. */
function formsOf({ value }: SecretValue): readonly string[] {
  const bytes = Buffer.from(value);
  // The first third of Base64 depends on where the value begins; the middle of one does not.
  return [bytes.toString(), bytes.toString('hex'), bytes.toString('base64').slice(0, 32)];
}

/**
 * Searches the disk, the memory files, the journal, units and environments of a board, what it
 * sent and what it reported for values. Only the memory of root with the values themselves is not
 * searched: systemd's credentials and what was delivered.
 */
export async function expectNowhere(scene: Scene, secrets: readonly SecretValue[]): Promise<void> {
  await scene.board.check('sync');
  const patterns = secrets.flatMap(formsOf);
  await scene.board.copyIn(Buffer.from(`${patterns.join('\n')}\n`), '/run/patterns');
  const search = async (command: string): Promise<string> => {
    const { status, stdout } = await scene.board.run(command, { timeoutMs: 600_000 });
    // A search that was cut short has found nothing.
    expect(status).not.toBe(124);
    return stdout.trim();
  };
  const finds = 'grep -F -a -f /run/patterns';
  // The search finds a planted value.
  await scene.board.check(
    `head -n 1 /run/patterns >/var/tmp/planted; cp /var/tmp/planted /run/wherry/planted`,
  );
  const inRun = `find /run \\( -path /run/credentials -o -path /run/wherry/secrets -o -path /run/patterns \\) -prune -o -type f -print0 2>/dev/null | xargs -0r ${finds} -l`;
  expect(await search(`${finds} -rl /var/tmp`)).toBe('/var/tmp/planted');
  expect(await search(inRun)).toBe('/run/wherry/planted');
  await scene.board.check('rm /var/tmp/planted /run/wherry/planted');
  expect(await search(inRun)).toBe('');
  expect(
    await search(`${finds} -rl -D skip --exclude-dir=proc --exclude-dir=sys --exclude-dir=run / 2>/dev/null`),
  ).toBe('');
  expect(await search(`journalctl --no-pager -a -o export | ${finds}`)).toBe('');
  expect(await search(`systemctl show '*' --all | ${finds}; systemctl show-environment | ${finds}`)).toBe('');
  expect(
    await search(`cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | ${finds}`),
  ).toBe('');
  const heard = Buffer.concat(scene.traffic).toString('latin1');
  expect(patterns.filter((pattern) => heard.includes(pattern))).toEqual([]);
  const reported = JSON.stringify(scene.reports);
  expect(patterns.filter((pattern) => reported.includes(pattern))).toEqual([]);
}
