import { describe, expect, it } from 'vitest';
import { rootNote } from '../../../../src/cli/commands/operator/root-notes.ts';
import { renderStatus } from '../../../../src/cli/commands/operator/status.ts';
import { Refusal } from '../../../../src/core/refusal/index.ts';
import type { ChainedRoot } from '../../../../src/operator/fleet/index.ts';
import { rootOf } from '../../../support/roots.ts';
import { sampleReport } from '../../../support/sample-messages.ts';

/** The root of this version, which follows the previous one or is the first of a chain. */
function chained(version: number, changes: { first?: true; refused?: true } = {}): ChainedRoot {
  return {
    root: rootOf({}, [], { version }),
    payload: new Uint8Array(),
    signatures: [],
    ...(changes.first === true ? {} : { before: rootOf({}, [], { version: version - 1 }) }),
    ...(changes.refused === true ? { refusal: new Refusal('threshold-not-met', 'one of two') } : {}),
  };
}
const withRoot = (version: number) => sampleReport({ root: { version, expires: 1_900_000_000 } });

describe('the root of a device beside the fleet directory', () => {
  const chain = [chained(1, { first: true }), chained(2), chained(3), chained(4, { refused: true })];
  it.each([
    ['is the newest that devices take', withRoot(3), chain, undefined],
    ['is newer', withRoot(4), chain, undefined],
    ['is unknown to a directory without roots', withRoot(3), [], undefined],
    ['is behind', withRoot(1), chain, /has root 1 .* is root 3; publish it again/],
    ['is missing', sampleReport(), chain, /has no root of trust, .* is root 3; install it on the device/],
    [
      'is of an older chain',
      withRoot(1),
      [...chain.slice(0, 2), chained(5, { first: true }), chained(6)],
      /has root 1 .* is root 6; install it/,
    ],
  ])('%s', (_, report, roots, words) => {
    const note = rootNote('crane-7', report, roots);
    if (words === undefined) expect(note).toBeUndefined();
    else expect(note).toMatch(words);
  });

  it('has a column in the status if there is a root', () => {
    const views = [
      { device: 'crane-7', report: withRoot(1), events: [], eventCount: 0 },
      { device: 'crane-8', report: withRoot(3), events: [], eventCount: 0 },
      { device: 'crane-9', report: sampleReport(), events: [], eventCount: 0 },
    ];
    const [header, ...lines] = renderStatus({ hasColour: false }, views, [], chain).split('\n');
    expect(header).toMatch(/^DEVICE +LINK +VERSION +ROOT +PHASE/);
    expect(lines.slice(0, 3)).toEqual([
      expect.stringMatching(/^crane-7 +unknown +3 +1 of 3 +-/),
      expect.stringMatching(/^crane-8 +unknown +3 +3 +-/),
      expect.stringMatching(/^crane-9 +unknown +3 +none of 3 +-/),
    ]);
    expect(lines.slice(4)).toEqual([
      expect.stringMatching(/^crane-7: has root 1 of trust/),
      expect.stringMatching(/^crane-9: has no root/),
    ]);
    const without = [{ device: 'crane-9', report: sampleReport(), events: [], eventCount: 0 }];
    expect(renderStatus({ hasColour: false }, without)).not.toMatch(/ROOT/);
  });
});
