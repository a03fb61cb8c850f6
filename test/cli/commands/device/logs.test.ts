import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = new URL('../../../..', import.meta.url).pathname;
let place = '';
beforeEach(() => (place = mkdtempSync(join(tmpdir(), 'wherry-logs-'))));
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** Runs the real program with a fake journalctl, until its reader has read `count` bytes. */
async function logs(journalctl: string, count: number): Promise<{ status: number | null; err: string }> {
  writeFileSync(join(place, 'journalctl'), `#!/bin/sh\n${journalctl}\n`, { mode: 0o755 });
  const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
  const child = spawn(
    process.execPath,
    ['--import', tsx, join(root, 'src/cli/wherry.ts'), 'logs', 'web', '-f'],
    {
      env: { ...process.env, PATH: `${place}:${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let [seen, err] = [0, ''];
  child.stderr.on('data', (text: Buffer) => (err += text.toString()));
  child.stdout.on('data', (text: Buffer) => {
    seen += text.length;
    if (seen >= count) child.stdout.destroy();
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, err };
}

describe('wherry logs', () => {
  it('ends without an error when its reader closes the pipe', async () => {
    const { status, err } = await logs('while echo line; do :; done; exit 1', 5);
    expect({ status, err }).toEqual({ status: 0, err: expect.not.stringContaining('ended with') as string });
  });

  it('reports a failed journalctl, and passes on its whole output', async () => {
    const { status, err } = await logs('echo line; echo broken >&2; exit 1', 1 << 20);
    expect(status).toBe(64);
    expect(err).toContain('broken\n');
    expect(err).toContain('journalctl on this machine ended with status 1');
  });
});
