import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { freePort } from '../../qemu/free-port.ts';

// So many that two calls that chose by chance alone would choose the same port.
const calls = 600;

const other = `
  import { freePort } from '${join(import.meta.dirname, '../../qemu/free-port.ts')}';
  const ports = await Promise.all(Array.from({ length: ${calls} }, () => freePort()));
  console.log(JSON.stringify(ports));
`;

it('no port is returned twice, in one process and in two at once', async () => {
  const args = ['--import', 'tsx', '--input-type=module', '--eval', other];
  const [own, { stdout }] = await Promise.all([
    Promise.all(Array.from({ length: calls }, () => freePort())),
    promisify(execFile)(process.execPath, args),
  ]);
  const ports = [...own, ...(JSON.parse(stdout) as number[])];
  expect(new Set(ports).size).toBe(2 * calls);
});
