import { expect, it } from 'vitest';
import { showingWork } from '../../src/cli/showing-work.ts';
import { drawnOver, type Terminal } from '../../src/cli/terminal.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

function context(changes: Partial<Terminal>) {
  const { terminal, out, err } = recordingTerminal(changes);
  const clock = new FakeClock();
  return { clock, out, err, context: { terminal, clock, fleetPath: '', json: false } };
}

it('long work is shown on a terminal, and its line is removed before others and at its end', async () => {
  const one = context({ isLive: true });
  await showingWork(one.context, 'building', async ({ terminal }) => {
    await one.clock.pass(1000);
    await one.clock.pass(1000);
    terminal.err('a note\n');
    terminal.err('another\n');
    await one.clock.pass(1000);
  });
  const lines = ['building, 1 s', 'building, 2 s', ''].map(drawnOver);
  const end = ['building, 3 s', ''].map(drawnOver);
  expect(one.err()).toBe([...lines, 'a note\n', 'another\n', ...end].join(''));
  await one.clock.pass(10_000);
  expect(one.err().endsWith(drawnOver(''))).toBe(true);
});

it('work of less than a second, and output that is no terminal, get no such line', async () => {
  const [short, piped] = [context({ isLive: true }), context({ isLive: false })];
  await showingWork(short.context, 'building', () => short.clock.pass(900));
  await showingWork(piped.context, 'building', () => piped.clock.pass(9000));
  expect(short.err() + piped.err()).toBe('');
});

it('work that fails takes its line along', async () => {
  const one = context({ isLive: true });
  const failed = showingWork(one.context, 'building', async () => {
    await one.clock.pass(1000);
    throw new Error('no');
  });
  await expect(failed).rejects.toThrow('no');
  expect(one.err().endsWith(drawnOver(''))).toBe(true);
});
