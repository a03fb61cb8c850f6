import { existsSync, readFileSync, statSync } from 'node:fs';
import { isRefusal } from '../../core/refusal/index.ts';
import { openJournal } from '../systemd/index.ts';
import { runDaemon } from './daemon.ts';
import { exitStatusOf, visitedExitStatus } from './exit-status.ts';
import { places } from '../host/index.ts';

/**
 * The program: reads the configuration, runs until it is told to stop, and ends with a status that
 * says why.
 */
const journal = openJournal();
/** After the start, and after the last report of a deployment. */
const heapRestMs = 5000;
/**
 * The unit lets V8 drop the bytecode of a function that one collection has found unused. The next
 * ones free what only that bytecode needed.
 */
const collections = 4;

/**
 * The start and each deployment grow the heap by a few megabytes, which V8 would keep while nothing
 * happens. The unit exposes the collector.
 */
function shrinkHeap(): void {
  for (let done = 0; done < collections; done++) globalThis.gc?.();
}

async function main(): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => stopping.abort(new Error(`received ${signal}`)));
  }
  try {
    const end = await runDaemon({
      journal,
      places,
      configText: readFileSync(places.config, 'utf8'),
      onRest: () => setTimeout(shrinkHeap, heapRestMs).unref(),
      onCollect: (listener) => process.on('SIGUSR2', listener),
      // The package's build time: the earliest that it can be on a device whose clock has stopped.
      buildTime: Math.floor(statSync(process.argv[1] ?? process.execPath).mtimeMs / 1000),
      clockIsKept: () =>
        existsSync('/run/systemd/timesync/synchronized') || existsSync('/sys/class/rtc/rtc0'),
      signal: stopping.signal,
    });
    // What waits for another try (an examination, say) does so in the next visit.
    if (end === 'visited') process.exit(visitedExitStatus);
  } catch (error) {
    const code = isRefusal(error) ? error.code : 'internal';
    const message =
      isRefusal(error) || !(error instanceof Error) ? String(error) : (error.stack ?? error.message);
    journal.log('error', message, { WHERRY_CODE: code });
    // What a start that failed left open must not keep the process: systemd starts it again when it
    // has ended.
    process.exit(exitStatusOf(code));
  }
}

void main();
