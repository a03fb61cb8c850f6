import { existsSync, statSync } from 'node:fs';
import { readRegular } from '../../core/files/index.ts';
import { Refusal, unreadableFile } from '../../core/refusal/index.ts';
import { type Journal, systemClock } from '../../core/ports/index.ts';
import { openJournal } from '../systemd/index.ts';
import { claimState } from './claim-state.ts';
import { runDaemon } from './daemon.ts';
import { exitStatusOf, visitedExitStatus } from './exit-status.ts';
import { HeapRest } from './heap-rest.ts';
import { clockKeeper, isSynchronized } from './kept-clock.ts';
import { logFailure } from './log-failure.ts';
import { places } from '../host/index.ts';

/**
 * The program: reads the configuration, runs until a signal stops it or a visit ends, and exits
 * with a status that shows why.
 */
const journal = openJournal();
/** systemd connects a service to the journal. A person sees only standard error. */
const isService = process.env['JOURNAL_STREAM'] !== undefined;
const journalAndTerminal: Journal = {
  log: (level, message, fields) => {
    journal.log(level, message, fields);
    process.stderr.write(`wherryd: ${message}\n`);
  },
};
/** After the start, and after the last report of a deployment. */
const heapRestMs = 5000;
/** How often to look whether messages have grown the heap. */
const heapLookMs = 300_000;

/** @throws Refusal `config-invalid` */
function readConfig(): string {
  try {
    return readRegular(places.config).toString('utf8');
  } catch (cause) {
    const { message } = unreadableFile(places.config, cause);
    throw new Refusal('config-invalid', message, { cause });
  }
}

async function main(): Promise<void> {
  const stopping = new AbortController();
  const heap = new HeapRest({
    // The unit exposes the collector.
    collect: () => globalThis.gc?.(),
    usedBytes: () => {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
  });
  const clockIsSynchronized = clockKeeper({
    marked: () => existsSync('/run/systemd/timesync/synchronized'),
    ask: isSynchronized,
    clock: systemClock,
  });
  setInterval(() => heap.look(), heapLookMs).unref();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => stopping.abort(new Error(`received ${signal}`)));
  }
  // Node would open its debugger, to every user of the device.
  process.on('SIGUSR1', () => undefined);
  try {
    if (process.argv.length > 2)
      throw new Refusal('usage', 'it takes no arguments; its settings are in wherry.toml(5)');
    await claimState(places.state);
    const end = await runDaemon({
      journal,
      places,
      configText: readConfig(),
      onRest: () => setTimeout(() => heap.shrink(), heapRestMs).unref(),
      onCollect: (listener) => process.on('SIGUSR2', listener),
      // The package's build time: the earliest possible time on a device whose clock has stopped.
      buildTime: Math.floor(statSync(process.argv[1] ?? process.execPath).mtimeMs / 1000),
      // A clock chip that was behind the earliest possible time shows nothing.
      clockIsKept: async () =>
        (existsSync('/sys/class/rtc/rtc0') && !existsSync(places.clockFloor)) ||
        (await clockIsSynchronized()),
      clockIsSynchronized,
      signal: stopping.signal,
    });
    // Work that waits for a retry (such as an examination) continues in the next visit.
    if (end === 'visited') process.exit(visitedExitStatus);
  } catch (error) {
    const code = logFailure(isService ? journal : journalAndTerminal, 'wherryd cannot run', error);
    // Handles that a failed start left open must not keep the process alive: systemd restarts it
    // when it has ended.
    process.exit(exitStatusOf(code));
  }
}

void main();
