import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { startVitest, type TestCase, type TestModule, type Vitest } from 'vitest/node';

/** How many lines of a difference the summary repeats. */
const shownDifferences = 20;

/** The details of a failure. */
type Failure = NonNullable<ReturnType<TestModule['errors']>>[number];

/**
 * Runs the unit tests and then the board tests, lists the failed tests again, and ends with one
 * line that counts passed and failed ones. Arguments are filters on file names, as for vitest. The
 * files for the boards are built during the unit tests.
 */
async function main(filters: readonly string[]): Promise<void> {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0, reasons: new Map(), failures: [] };
  let ended = false;
  const wantsBoards = filters.length === 0 || filters.some((filter) => filter.includes('board'));
  const prepared = wantsBoards ? prepareBoards() : Promise.resolve();
  for (const project of ['unit', 'board']) {
    if (project === 'board') await prepared;
    const vitest = await startVitest('test', [...filters], {
      ...{ run: true, watch: false, project: [project] },
      // A filter may match files of one project only.
      passWithNoTests: filters.length > 0,
    });
    count(vitest, totals);
    await vitest.close();
    ended ||= process.exitCode !== undefined && process.exitCode !== 0;
  }
  const { passed, failed, skipped, reasons, failures } = totals;
  for (const [reason, times] of reasons) process.stdout.write(`\n${times} skipped: ${reason}`);
  if (skipped > 0) process.stdout.write(`\n${skipped} skipped: request them by name, see CONTRIBUTING.md\n`);
  for (const failure of failures) process.stdout.write(`\nfailed: ${failure}`);
  if (failures.length > 0) process.stdout.write('\n');
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exit(failed > 0 || ended || passed === 0 ? 1 : 0);
}

/** A failure here is ignored: a test that requires a missing file fails with the reason. */
async function prepareBoards(): Promise<void> {
  const script = fileURLToPath(new URL('prepare-boards.ts', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await once(child, 'close');
}

interface Totals {
  passed: number;
  failed: number;
  /** Tests that were skipped without a reason. */
  skipped: number;
  /** The reasons of other skipped tests, with their numbers. */
  readonly reasons: Map<string, number>;
  /**
   * File, name, first message and difference of each failure. A long log hides the place where it
   * happened.
   */
  readonly failures: string[];
}

function count(vitest: Vitest, totals: Totals): void {
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
      if (state !== 'passed' && state !== 'skipped') {
        totals.failures.push(failureLine(module, test.fullName, result.errors));
      }
    }
    // A file that cannot be loaded, or whose preparation fails, has no failed test of its own.
    if (!module.ok() && tests.every((test) => test.result().state !== 'failed')) {
      totals.failed += 1;
      totals.failures.push(failureLine(module, 'the file as a whole', module.errors()));
    }
  }
}

function failureLine(module: TestModule, name: string, errors: readonly Failure[] | undefined): string {
  const [error] = errors ?? [];
  const place = error?.stacks?.[0];
  const at = place === undefined ? '' : ` (line ${place.line})`;
  const difference = typeof error?.diff === 'string' ? error.diff : '';
  const changed = difference.split('\n').filter((line) => /^[-+]/.test(stripVTControlCharacters(line)));
  const lines = [error?.message ?? 'it did not end', ...changed.slice(0, shownDifferences)];
  return `${module.relativeModuleId}${at}: ${name}\n  ${lines.join('\n  ')}`;
}

await main(process.argv.slice(2));
