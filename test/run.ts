import { startVitest, type TestCase, type Vitest } from 'vitest/node';

/**
 * Runs the unit tests and the board tests, and closes with one line that says how many passed and
 * failed. Arguments are filters on file names, as vitest takes them.
 */
async function main(filters: readonly string[]): Promise<void> {
  const vitest = await startVitest('test', [...filters], { run: true, watch: false });
  const { passed, failed, skipped, reasons } = count(vitest);
  await vitest.close();
  const ended = process.exitCode !== undefined && process.exitCode !== 0;
  for (const [reason, times] of reasons) process.stdout.write(`\n${times} skipped: ${reason}`);
  if (skipped > 0)
    process.stdout.write(`\n${skipped} skipped: they are asked for by name, see CONTRIBUTING.md\n`);
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exit(failed > 0 || ended || passed === 0 ? 1 : 0);
}

interface Totals {
  passed: number;
  failed: number;
  /** Without a reason of their own. */
  skipped: number;
  /** Why others were skipped, and how many for each reason. */
  readonly reasons: Map<string, number>;
}

function count(vitest: Vitest): Totals {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0, reasons: new Map() };
  for (const module of vitest.state.getTestModules()) {
    const tests: TestCase[] = [...module.children.allTests()];
    for (const test of tests) {
      const result = test.result();
      const { state } = result;
      if (result.state === 'skipped' && result.note !== undefined) {
        totals.reasons.set(result.note, (totals.reasons.get(result.note) ?? 0) + 1);
        continue;
      }
      totals[state === 'pending' ? 'failed' : state] += 1;
    }
    // A file that cannot be loaded, or whose preparation fails, has no failed test of its own.
    if (!module.ok() && tests.every((test) => test.result().state !== 'failed')) totals.failed += 1;
  }
  return totals;
}

await main(process.argv.slice(2));
