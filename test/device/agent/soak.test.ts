import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { hasMosquitto, mosquittoBroker } from '../../support/real-brokers.ts';

/** By hand: WHERRY_SOAK_COMMANDS=10000 WHERRY_SOAK_RECONNECTS=1000. */
const commands = Number(process.env['WHERRY_SOAK_COMMANDS'] ?? 0);
const reconnects = Number(process.env['WHERRY_SOAK_RECONNECTS'] ?? 0);

interface Soaked {
  readonly beforeBytes: number;
  readonly afterBytes: number;
  readonly writtenBytes: number;
}

it.skipIf(!hasMosquitto || commands + reconnects === 0)(
  `wherryd grows by less than 1 MB over ${commands} commands and ${reconnects} reconnects`,
  { timeout: 3_600_000 },
  async () => {
    const broker = await mosquittoBroker();
    await broker.start();
    try {
      const program = join(import.meta.dirname, 'soak-device.ts');
      // The options of wherryd.service that decide how much is kept.
      const node = ['--expose-gc', '--max-semi-space-size=1', '--optimize-for-size', '--import', 'tsx'];
      const { stdout } = await promisify(execFile)(process.execPath, [
        ...node,
        program,
        broker.url,
        String(commands),
        String(reconnects),
      ]);
      process.stdout.write(`soak: ${stdout}`);
      const { beforeBytes, afterBytes, writtenBytes } = JSON.parse(stdout) as Soaked;
      expect(afterBytes - beforeBytes).toBeLessThan(2 ** 20);
      expect(writtenBytes).toBe(0);
    } finally {
      await broker.kill();
    }
  },
);
