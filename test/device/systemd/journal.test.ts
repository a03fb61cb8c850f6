import { afterEach, describe, expect, it, vi } from 'vitest';
import { openJournal } from '../../../src/device/systemd/journal.ts';
import { openNotifier } from '../../../src/device/systemd/notify.ts';

const silent = { log: () => undefined };

function addon(answer = 0) {
  const entries: (readonly [number, ...string[]])[] = [];
  return {
    entries,
    send: (priority: number, ...fields: string[]) => {
      entries.push([priority, ...fields]);
      return answer;
    },
  };
}

/** The output on standard error while `act` runs. */
function stderrOf(act: () => void): string {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    act();
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
  }
}

describe('the journal', () => {
  it('gets fields beside the message through the addon', () => {
    const journald = addon();
    openJournal(journald).log('warning', 'refused', { WHERRY_CODE: 'expired', WHERRY_VERSION: 7 });
    expect(journald.entries).toEqual([
      [4, 'MESSAGE=refused', 'SYSLOG_IDENTIFIER=wherryd', 'WHERRY_CODE=expired', 'WHERRY_VERSION=7'],
    ]);
  });

  it.each([
    [[], {}],
    [[], { WHERRY_DEBUG: '0' }],
    [[[7, 'MESSAGE=why', 'SYSLOG_IDENTIFIER=wherryd']], { WHERRY_DEBUG: '1' }],
  ])('gets debug entries %j with %j', (entries, environment) => {
    const journald = addon();
    openJournal(journald, environment).log('debug', 'why');
    expect(journald.entries).toEqual(entries);
  });

  it('gets no NUL, because the addon would send other memory after it', () => {
    const journald = addon();
    openJournal(journald).log('error', 'a\0b', { WHERRY_CODE: 'c\0d' });
    expect(journald.entries[0]?.join()).not.toContain('\0');
  });

  it('gets long messages cut', () => {
    const journald = addon();
    openJournal(journald).log('info', 'x'.repeat(100_000));
    expect(journald.entries[0]?.[1]?.length).toBeLessThan(5000);
  });

  it.each([
    ['there is no addon', undefined],
    ['the addon fails', addon(-2)],
  ])('is standard error with a priority on every line when %s', (_, broken) => {
    const text = stderrOf(() => openJournal(broken).log('error', 'one\ntwo', { WHERRY_CODE: 'x' }));
    expect(text).toBe('<3>one\n<3>two (WHERRY_CODE=x)\n');
  });
});

describe('the notifier', () => {
  afterEach(() => vi.useRealTimers());

  function notifier(environment: NodeJS.ProcessEnv) {
    const states: string[] = [];
    const sent = { sendState: (state: string) => void states.push(state) };
    return { states, notifier: openNotifier(silent, environment, sent) };
  }

  it('reports that it is ready, and pings at half the interval of the watchdog', () => {
    vi.useFakeTimers();
    const { states, notifier: open } = notifier({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '10000000' });
    open.ready();
    vi.advanceTimersByTime(11_000);
    open.stopping();
    open.close();
    vi.advanceTimersByTime(60_000);
    expect(states).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1', 'STOPPING=1']);
  });

  it('does nothing without a socket', () => {
    const { states, notifier: open } = notifier({});
    open.ready();
    open.stopping();
    expect(states).toEqual([]);
  });
});
