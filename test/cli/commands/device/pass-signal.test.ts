import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { passSignal } from '../../../../src/cli/commands/device/pass-signal.ts';

it('a signal waits until crun can pass it on, and does not end crun before [C341]', async () => {
  // As crun: it blocks signals some time after its start.
  const child = spawn('sh', ['-c', 'read -r line; exec env --block-signal=TERM sleep 1000'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  await once(child, 'spawn');
  passSignal(child, 'SIGTERM');
  child.stdin.end('go\n');
  const pending = (): string | undefined =>
    /^ShdPnd:\s*(.*)$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
  // SIGTERM is 15.
  await expect.poll(pending).toBe('0000000000004000');
  child.kill('SIGKILL');
  await once(child, 'exit');
  passSignal(child, 'SIGTERM');
});
