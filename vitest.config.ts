import { defineConfig } from 'vitest/config';
import { BoardOrder } from './test/support/board-order.ts';

/** Tests speak to loopback: a configured proxy must not intervene. */
const noProxies = Object.fromEntries(
  ['http_proxy', 'https_proxy', 'all_proxy'].flatMap((name) => [
    [name, ''],
    [name.toUpperCase(), ''],
  ]),
);

/** Gives each test file a temporary directory, in which it must leave nothing. */
const setupFiles = ['test/support/temporary-directory.ts'];

export default defineConfig({
  test: {
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text-summary', 'html'] },
    sequence: { sequencer: BoardOrder },
    projects: [
      {
        test: {
          name: 'unit',
          // Two for each processor of a small machine: many wait for servers and child processes.
          maxWorkers: 4,
          include: ['test/**/*.test.ts'],
          setupFiles,
          exclude: ['test/board/**'],
          env: noProxies,
          // Ends what hangs. No test may depend on how fast the machine is.
          testTimeout: 300_000,
          hookTimeout: 300_000,
          expect: { poll: { timeout: 250_000 } },
        },
      },
      {
        test: {
          name: 'board',
          include: ['test/board/**/*.test.ts'],
          globalSetup: ['test/support/board-packages.ts'],
          setupFiles,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          expect: { poll: { timeout: 180_000, interval: 200 } },
          // Boards often wait for timers.
          maxWorkers: 4,
          // After the unit tests, which would slow the boards down.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
