import { defineConfig } from 'vitest/config';

/** Tests speak to loopback: a proxy of whoever runs them must not come between. */
const noProxies = Object.fromEntries(
  ['http_proxy', 'https_proxy', 'all_proxy'].flatMap((name) => [
    [name, ''],
    [name.toUpperCase(), ''],
  ]),
);

export default defineConfig({
  test: {
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text-summary', 'html'] },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/board/**'],
          env: noProxies,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'board',
          include: ['test/board/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          // An emulated board keeps one processor busy; two at a time is what a machine of two bears.
          maxWorkers: 2,
          // After the unit tests, which would slow the boards down.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
