import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEvent, encodeReport } from '../../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../../src/wire/report/report-codec.ts';
import { wireText } from '../../../src/wire/report/wire-text.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';

/**
 * Any text that an error of any program could have: control characters, lone surrogates, long, not
 * Latin.
 */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(fc.nat(0xffff), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  fc
    .tuple(fc.constantFrom('a', '€', '😀', '\n', '\ud800', '\u0000'), fc.nat(9000))
    .map(([c, n]) => c.repeat(n)),
);
const anyCount = fc.oneof(fc.nat(), fc.double(), fc.constantFrom(-1, 2 ** 64, Number.NaN));

const anyApp = fc.record({
  name: anyText,
  imageId: anyText,
  state: anyText,
  pid: anyCount,
  restarts: anyCount,
  lastResult: anyText,
  oomKills: anyCount,
  memoryBytes: anyCount,
});
const anyPod = fc.record({
  name: anyText,
  uuid: fc.constant('00000000-0000-8000-8000-000000000000'),
  healthy: fc.boolean(),
  apps: fc.array(anyApp, { maxLength: 3 }),
  isolators: fc.array(
    fc.record({ app: anyText, name: anyText, outcome: fc.constant('ignored' as const), detail: anyText }),
    { maxLength: 20 },
  ),
});

describe('what a device sends', () => {
  it('[C54] is an event that the operator can decode, for any error', () => {
    fc.assert(
      fc.property(anyText, anyText, anyCount, (code, message, at) => {
        decodeEvent(encodeEvent(sampleEvent({ version: 0, outcome: 'refused', code, message, at })));
      }),
    );
  });

  it('[C54] is a report that the operator can decode, for any content', () => {
    const refused = fc.record({ code: anyText, message: anyText, at: anyCount });
    const damaged = fc.array(fc.record({ imageId: anyText, name: anyText, message: anyText }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(
        refused,
        fc.array(anyPod, { maxLength: 6 }),
        damaged,
        anyText,
        (...[no, pods, bad, text]) => {
          const deployment = { version: 1, phase: 'refused' as const, code: text, message: text };
          const capabilities = Array.from({ length: 70 }, () => ({
            name: text,
            available: true,
            detail: text,
          }));
          decodeReport(
            encodeReport(sampleReport({ refused: no, pods, damaged: bad, deployment, capabilities })),
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is marked as shortened when it would be larger than 64 KiB', () => {
    const detail = 'x'.repeat(2000);
    const isolators = Array.from({ length: 100 }, () => ({
      app: 'web',
      name: 'resource/memory',
      outcome: 'ignored' as const,
      detail,
    }));
    const pod = {
      name: 'web',
      uuid: '00000000-0000-8000-8000-000000000000',
      healthy: true,
      apps: [],
      isolators,
    };
    const report = decodeReport(encodeReport(sampleReport({ pods: [pod] })));
    expect(report.pods[0]?.isolators).toHaveLength(100);
    expect(report.capabilities).toEqual([
      {
        name: 'full-report',
        available: false,
        detail: 'the report is larger than the limit of 65536 bytes: long texts are cut',
      },
    ]);
  });
});

describe('text on the wire', () => {
  it.each([
    ['a stack trace', 'Error: no\n    at x (y.ts:1:2)\r\n', 30, 'Error: no at x (y.ts:1:2) '],
    ['an escape sequence', '\u001b[2J', 20, '\uFFFD[2J'],
    ['a lone surrogate', 'a\ud800b', 20, 'a\uFFFDb'],
    ['a text that fits exactly', '12345', 5, '12345'],
    ['a text that is too long', '123456', 5, '12…'],
    ['characters of four bytes', '😀😀😀', 11, '😀😀…'],
    ['characters of four bytes, one byte short', '😀😀😀', 10, '😀…'],
  ])('is printable and short enough for %s', (_name, text, maxBytes, sent) => {
    expect(wireText(text, maxBytes)).toBe(sent);
  });
});
