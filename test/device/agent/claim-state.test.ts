import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { claimState } from '../../../src/device/agent/claim-state.ts';

const root = mkdtempSync(join(tmpdir(), 'claim-'));
const state = join(root, 'state');
afterAll(() => rmSync(root, { recursive: true }));

/** Another process that claims `state` and keeps it until it is killed. */
async function otherProcess(): Promise<ChildProcess> {
  const file = join(import.meta.dirname, '../../../src/device/agent/claim-state.ts');
  const program = `import(${JSON.stringify(file)}).then(async ({ claimState }) => {
    await claimState(${JSON.stringify(state)});
    process.stdout.write('claimed');
    process.stdin.resume();
  });`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

it('the state belongs to one process until that ends, however it ends [C336]', async () => {
  const other = await otherProcess();
  await expect(claimState(state)).rejects.toMatchObject({
    code: 'device-unsupported',
    message: expect.stringContaining(`another wherryd runs with ${state}`) as string,
  });
  other.kill('SIGKILL');
  await once(other, 'exit');
  await claimState(state);
  // A second claim of the same process is refused, too: the lock belongs to the open directory.
  await expect(claimState(state)).rejects.toMatchObject({ code: 'device-unsupported' });
});

it('a state that cannot be opened is refused with its path and the right start', async () => {
  await expect(claimState('/dev/null/nothing')).rejects.toMatchObject({
    code: 'device-unsupported',
    message: expect.stringMatching(
      /^\/dev\/null\/nothing cannot be locked: .*systemctl start wherryd\.service$/,
    ) as string,
  });
});
