import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatStage, parseStage, parseStages, wavesOf } from '../../../src/controller/rollout/index.ts';

const names = (count: number) => Array.from({ length: count }, (_, index) => `crane-${index}`);
const stage = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
  fc.constant('all' as const),
);

describe('waves', () => {
  it('have each device exactly once, in a stable order', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.array(stage), fc.string(), (count, stages, id) => {
        const waves = wavesOf(id, names(count), stages);
        expect(waves.flat().sort()).toEqual(names(count).sort());
        expect(waves.every(({ length }) => length > 0)).toBe(true);
        expect(wavesOf(id, names(count).reverse(), stages)).toEqual(waves);
      }),
    );
  });

  it('are as large as the stages require, which are cumulative', () => {
    const sizes = (...stages: string[]) =>
      wavesOf('r', names(40), stages.map(parseStage)).map(({ length }) => length);
    expect(sizes('1', '10%', '50%')).toEqual([1, 3, 16, 20]);
    expect(sizes('33.3%', '66.6%')).toEqual([14, 13, 13]);
    expect(sizes()).toEqual([40]);
    expect(sizes('10', '5', 'all')).toEqual([10, 30]);
    expect(sizes('device:crane-7,crane-9', '25%')).toEqual([2, 8, 30]);
  });

  it('have a share rounded up, and exact where it is a whole number', () => {
    const first = (count: number, share: string) =>
      wavesOf('r', names(count), [parseStage(share)])[0]?.length;
    expect(first(1000, '16.1%')).toBe(161); // 1000 * 16.1 / 100 is 161.00000000000003
    expect(first(1000, '16.101%')).toBe(162);
    expect(first(3, '0.1%')).toBe(1);
  });

  it('begin with the devices that are named', () => {
    expect(wavesOf('r', names(9), [parseStage('device:crane-7,crane-2')])[0]).toEqual(['crane-7', 'crane-2']);
    expect(() => wavesOf('r', names(3), [parseStage('device:crane-7')])).toThrow(
      /crane-7: it is not in the rollout/,
    );
    expect(() => wavesOf('r', names(3), [parseStage('device:crane-1,crane-1')])).toThrow(
      /crane-1 is in two stages/,
    );
  });

  it('differ between rollouts, so that the same devices are not always first', () => {
    expect(wavesOf('r-1', names(40), [{ count: 5 }])[0]).not.toEqual(
      wavesOf('r-2', names(40), [{ count: 5 }])[0],
    );
  });
});

describe('a stage', () => {
  it.each(['1', '250', '10%', '100%', '33.3%', '0.5%', 'all', 'device:crane-1,crane-2'])(
    'reads %s and writes it again',
    (text) => {
      expect(formatStage(parseStage(text))).toBe(text);
    },
  );

  it.each(['', '0', '-1', '101%', '100.1%', '0%', '0.000%', '1.2345%', '1.5', 'half', 'device:', '10 %'])(
    'is not %j',
    (text) => {
      expect(() => parseStage(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
    },
  );

  it.each([
    [['50%', '10%', 'all'], 'the stage 10% adds no device to the stage 50% before it'],
    [['100%', '100%'], 'the stage 100% adds no device to the stage 100% before it'],
    [['5', 'device:crane-1', '5'], 'the stage 5 adds no device to the stage 5 before it'],
  ])('are refused where one adds nothing: %j', (texts, message) => {
    expect(() => parseStages(texts)).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });

  it('may be counts beside shares, of which nobody knows the larger one before', () => {
    expect(parseStages(['device:crane-1', '5', '10%', '50', '60%', 'all'])).toHaveLength(6);
  });
});
