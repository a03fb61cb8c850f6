import { describe, expect, it } from 'vitest';
import { judgeProbe, nextProbeSeconds, notAsked } from '../../../src/device/health/probe-state.ts';
import { usualRules } from '../../../src/device/pod/probe.ts';

const rules = { ...usualRules, failures: 2, successes: 2, startPeriodSeconds: 10 };

/** The states of an app that is probed once a second; `+` is a good answer. */
const statesOf = (answers: string, firstAtSeconds = 10): string => {
  let state = notAsked;
  const states = answers.split('').map((answer, index) => {
    const outcome = { ok: answer === '+', detail: answer };
    state = judgeProbe(state, outcome, rules, firstAtSeconds + index);
    return { starting: '.', passing: '+', failing: '-' }[state.state];
  });
  return states.join('');
};

describe('probes of an app', () => {
  it.each([
    ['an app passes after enough answers in a row', '+-++', '...+'],
    ['a single failure does not make a passing app fail', '++-+-+', '.+++++'],
    ['an app fails after enough failures in a row', '++--', '.++-'],
    ['a failing app passes again after enough answers', '--+-++', '.----+'],
  ])('%s', (_name, answers, states) => {
    expect(statesOf(answers)).toBe(states);
  });

  it('failures do not count in the start period', () => {
    expect(statesOf('-----', 5)).toBe('.....');
    expect(statesOf('-------', 5)).toBe('......-');
  });

  it('the start period is over when the app has passed', () => {
    expect(statesOf('++--', 0)).toBe('.++-');
  });

  it('a starting app is probed every second, and others at the interval', () => {
    expect(nextProbeSeconds(notAsked, rules)).toBe(1);
    expect(nextProbeSeconds({ ...notAsked, state: 'passing' }, rules)).toBe(10);
    expect(nextProbeSeconds({ ...notAsked, state: 'failing' }, rules)).toBe(10);
  });
});
