import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeOutput } from '../../../src/operator/build/index.ts';

it.skipIf(process.getuid?.() !== 0)('a copy to a read-only file system names the output', async (test) => {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-output-'));
  const at = (name: string): string => join(directory, name);
  await writeFile(at('source'), 'text');
  await mkdir(at('disk'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro,size=64k', 'none', at('disk')], { stdio: 'ignore' });
  } catch {
    await rm(directory, { recursive: true });
    test.skip('mounts are not allowed here');
  }
  try {
    const copied = writeOutput(at('disk/copy'), (path) => copyFile(at('source'), path));
    await expect(copied).rejects.toThrow(`${at('disk/copy')}: the file system is mounted read-only`);
  } finally {
    execFileSync('umount', [at('disk')]);
    await rm(directory, { recursive: true });
  }
});
