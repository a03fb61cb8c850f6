import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, vi } from 'vitest';

/*
 * Vitest loads this before each test file. The file, and each program that it starts, has a
 * temporary directory of its own. The file fails if anything is left in it, and it is removed.
 */
const outer = tmpdir();
const own = mkdtempSync(join(outer, 'wherry-test-'));
chmodSync(own, 0o1777); // Some programs run as another user.
process.env['TMPDIR'] = own;
process.once('exit', () => rmSync(own, { recursive: true, force: true }));

/** tsx keeps compiled files in a directory for each user, which all test files share. */
const compiled = join(outer, `tsx-${process.geteuid?.() ?? 0}`);
mkdirSync(compiled, { recursive: true });
symlinkSync(compiled, join(own, basename(compiled)));

// The first hook of a file runs last.
afterAll(async () => {
  const left = () => readdirSync(own).filter((name) => !name.startsWith('tsx-'));
  try {
    // A program that the test has just ended may still be removing its files.
    await vi.waitFor(() => expect(left(), 'left in the temporary directory').toEqual([]), 10_000);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
});
