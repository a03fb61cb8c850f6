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

/**
 * Runs the real program with a fake journalctl.
 *
 * @param reader what a shell starts at the other end of a real pipe; Node's own pipes are sockets,
 *   which report their end otherwise
 */
async function logs(
  journalctl: string,
  options: readonly string[] = ['-f'],
  reader = 'cat',
): Promise<{ status: number | null; err: string; out: string }> {
  writeFileSync(join(place, 'journalctl'), `#!/bin/sh\n${journalctl}\n`, { mode: 0o755 });
  const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
  const wherry = [process.execPath, '--import', tsx, join(root, 'src/cli/wherry.ts'), 'logs', 'web'];
  const child = spawn(
    'bash',
    ['-c', `"$@" | ${reader}; exit \${PIPESTATUS[0]}`, 'bash', ...wherry, ...options],
    {
      env: { ...process.env, PATH: `${place}:${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let [out, err] = ['', ''];
  child.stderr.on('data', (text: Buffer) => (err += text.toString()));
  child.stdout.on('data', (text: Buffer) => (out += text.toString()));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, err, out };
}

describe('wherry logs', () => {
  it('ends without an error when its reader closes the pipe', async () => {
    const { status, err } = await logs('while echo line; do :; done; exit 1', ['-f'], 'head -c 5');
    expect({ status, err }).toEqual({ status: 0, err: expect.not.stringContaining('ended with') as string });
  });

  it('[C340] follows into the pipe of its reader, so that it ends as soon as the reader does', async () => {
    const fds = '[ "$(readlink /proc/$$/fd/1)" = "$(readlink /proc/$PPID/fd/1)" ] && echo same; exit 1';
    expect(await logs(fds)).toMatchObject({ status: 0, out: 'same\n' });
    expect(await logs(fds, [])).toMatchObject({ status: 64, out: '' });
  });

  it.each([
    [
      'Failed to parse timestamp: noon-ish',
      64,
      'journalctl does not know the time "noon-ish" (input-invalid)',
    ],
    ['No journal files were opened due to insufficient permissions.', 70, '(device-unsupported)'],
  ])('[C340] refuses what journalctl refuses: %s', async (said, status, message) => {
    for (const follow of [[], ['-f']]) {
      const refused = await logs(`echo '${said}' >&2; exit 1`, ['--since', 'noon-ish', ...follow]);
      expect(refused).toMatchObject({ status, err: expect.stringContaining(message) as string });
    }
  });

  it.each(['-1', '2147483648', '1.5'])('[C340] refuses %s lines', async (count) => {
    const refused = await logs('exit 0', ['-n', count]);
    expect(refused).toMatchObject({ status: 64, err: expect.stringContaining('(usage)') as string });
  });

  it('reports a failed journalctl, and passes on its whole output', async () => {
    const { status, err } = await logs('echo line; echo broken >&2; exit 1');
    expect(status).toBe(64);
    expect(err).toContain('broken\n');
    expect(err).toContain('journalctl on this machine ended with status 1');
  });
});
