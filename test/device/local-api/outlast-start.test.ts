import { describe, expect, it } from 'vitest';
import { isReplaced, outlastStart } from '../../../src/device/local-api/outlast-start.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** The error of execFile when systemctl finds its job replaced. */
const canceled = Object.assign(new Error('exit 1'), { stderr: 'Job for wherry-pod-a.service canceled.\n' });
const failed = Object.assign(new Error('exit 1'), {
  stderr: 'Job for a.service failed because a timeout was exceeded.\n',
});

/**
 * Carries out `change`. `supervisor` lists the state of wherryd for each query, `answers` the
 * answer of systemctl to each try.
 */
async function carriedOut(
  change: string,
  supervisor: readonly string[],
  answers: readonly (Error | undefined)[],
  withinMs?: number,
): Promise<{ readonly tries: number; readonly error: unknown; readonly limits: readonly unknown[] }> {
  const clock = new FakeClock();
  const looks = [...supervisor];
  const limits: unknown[] = [];
  const ended: unknown[] = [];
  const systemctl = ([word]: readonly string[], limitMs?: number): Promise<string> => {
    if (word === 'show') {
      const [subState, invocation] = (looks.length > 1 ? looks.shift() : looks[0])?.split(' ') ?? [];
      return Promise.resolve(`InvocationID=${invocation}\nSubState=${subState}\n`);
    }
    const answer = answers[limits.length];
    limits.push(limitMs);
    return answer === undefined ? Promise.resolve('') : Promise.reject(answer);
  };
  void outlastStart([change, '--', 'a.service'], { systemctl, clock }, withinMs)
    .then(() => undefined)
    .catch((reason: unknown) => reason)
    .then((error) => ended.push(error));
  while (ended.length === 0) await clock.pass(500);
  return { tries: limits.length, error: ended[0], limits };
}

describe('a change of a pod', () => {
  it.each([
    ['wherryd runs', 'stop', ['running 1'], [undefined], 1],
    ['wherryd does not run', 'stop', ['dead '], [undefined], 1],
    ['a failed start', 'start', ['running 1'], [failed], 1],
    ['a start of wherryd before the stop', 'stop', ['start 1', 'start 1', 'start 1', 'running 1'], [], 2],
    ['a start of wherryd that ends within the stop', 'stop', ['start 1', 'running 1'], [], 2],
    ['a start of wherryd within the stop', 'stop', ['running 1', 'running 2'], [], 2],
    ['a start that replaces the stop', 'stop', ['running 1', 'start 2', 'running 2'], [canceled], 2],
    ['a start of wherryd before a start', 'start', ['start 1', 'running 1'], [], 1],
    ['a start of wherryd before a restart', 'restart', ['start 1', 'running 1'], [], 1],
    ['a restart that it replaces', 'restart', ['start 1', 'running 1'], [canceled], 2],
  ] as const)(
    '[C246] is made once, or again after what undid it: %s',
    async (_, change, looks, answers, tries) => {
      expect((await carriedOut(change, looks, answers)).tries).toBe(tries);
    },
  );

  it('[C246] fails when anything other than a start of wherryd replaces it', async () => {
    const { tries, error } = await carriedOut('stop', ['running 1'], [canceled]);
    expect(tries).toBe(1);
    expect(isReplaced(error)).toBe(true);
  });

  it('[C246] does not outlast a wherryd that stops for good', async () => {
    const looks = ['1', '2', '3', '4', '5', '6', '7'].map((invocation) => `running ${invocation}`);
    expect((await carriedOut('stop', looks, [])).tries).toBe(3);
  });

  it('[C246] has one limit of time for all tries, in whole milliseconds', async () => {
    const starting = Array.from({ length: 5 }, () => 'start 1');
    const { limits } = await carriedOut('stop', [...starting, 'running 1'], [], 60_000.5);
    expect(limits).toEqual([60_001, 58_001]);
  });

  it('fails at once when a unit fails', async () => {
    const { tries, error } = await carriedOut('stop', ['start 1'], [failed]);
    expect({ tries, error }).toEqual({ tries: 1, error: failed });
    expect(isReplaced(error)).toBe(false);
  });
});
