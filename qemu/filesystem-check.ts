import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './image.ts';
import { checkPrograms } from './preconditions.ts';

export type FilesystemCheck = { readonly clean: boolean; readonly report: string };

/**
 * Checks a disk as the next boot would find it: replays the journal on a copy, then checks that.
 * @param layer the qcow2 file of a board that is off @param dir for the copy
 */
export async function checkFilesystem(layer: string, dir: string): Promise<FilesystemCheck> {
  checkPrograms(['e2fsck']);
  const copy = join(dir, 'fsck.raw');
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  try {
    await run('qemu-img', ['convert', '-O', 'raw', layer, copy], 'No copy of the disk');
    spawnSync('e2fsck', ['-y', '-E', 'journal_only', copy], { env });
    const { status, stdout } = spawnSync('e2fsck', ['-f', '-n', copy], { env, encoding: 'utf8' });
    return { clean: status === 0, report: stdout };
  } finally {
    rmSync(copy, { force: true });
  }
}
