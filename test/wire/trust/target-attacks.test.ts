import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAcName } from '../../../src/image/appc/identifiers.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { decodeEnvelope, encodeEnvelope } from '../../../src/wire/trust/envelope.ts';
import { examineMessage, type ExamineContext } from '../../../src/wire/trust/examine.ts';
import type { DesiredState } from '../../../src/wire/trust/desired-state.ts';
import type { GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { day, desired, issued, makeKey, publish, withField } from '../../support/operator.ts';

/**
 * A hostile broker publishes genuine commands on topics of other targets. One test per attack.
 */

let operator: GeneratedKey;
let context: ExamineContext;

beforeAll(async () => {
  operator = await makeKey('operator');
  context = {
    keys: [operator.publicKey],
    fleet: 'farm',
    device: 'pump-1',
    trusted: { version: 0, payloadSha256: '', issued: 0 },
    time: { nowSeconds: issued + day, clockTrusted: true },
  };
});

const forGroup = (group: string, change: Partial<DesiredState> = {}): DesiredState => ({
  ...desired,
  target: { group: parseAcName(group) },
  ...change,
});

async function outcomeOf(state: DesiredState, change: Partial<ExamineContext>): Promise<string> {
  try {
    return (await examineMessage(await publish(state, operator), { ...context, ...change })).outcome;
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

/** The mark of a device that has trusted `state`. */
async function markOfMessage(state: DesiredState): Promise<ExamineContext['trusted']> {
  const { payload } = decodeEnvelope(await publish(state, operator));
  const payloadSha256 = createHash('sha256').update(payload).digest('hex');
  return { version: state.version, payloadSha256, issued: state.issued };
}

describe('attacks on targets', () => {
  it('a command is accepted only on the topic of its target [C174]', async () => {
    expect(await outcomeOf(desired, {})).toBe('new');
    expect(await outcomeOf(forGroup('kitchen'), { group: 'kitchen' })).toBe('new');
  });

  it("a group's command is replayed to a device topic [C174]", async () => {
    expect(await outcomeOf(forGroup('kitchen'), {})).toBe('wrong-target');
  });

  it("a device's command is published on a group topic, to its own device, too [C174]", async () => {
    expect(await outcomeOf(desired, { group: 'kitchen' })).toBe('wrong-target');
    expect(await outcomeOf(desired, { group: 'kitchen', device: 'pump-2' })).toBe('wrong-target');
  });

  it("another group's command is published on my group's topic [C174]", async () => {
    expect(await outcomeOf(forGroup('floor'), { group: 'kitchen' })).toBe('wrong-target');
  });

  it('a group of the name of a device, and the other way round [C174]', async () => {
    expect(await outcomeOf(forGroup('pump-1'), {})).toBe('wrong-target');
    expect(await outcomeOf(desired, { group: 'pump-1' })).toBe('wrong-target');
  });

  it("another fleet's group of the same name [C22]", async () => {
    const state = forGroup('kitchen', { fleet: parseAcName('ranch') });
    expect(await outcomeOf(state, { group: 'kitchen' })).toBe('wrong-fleet');
  });

  it("an old command of a group is replayed while the device's own has precedence [C176]", async () => {
    const trusted = await markOfMessage(forGroup('kitchen', { version: 9 }));
    expect(await outcomeOf(forGroup('kitchen', { version: 8 }), { group: 'kitchen', trusted })).toBe(
      'version-older',
    );
    const other = forGroup('kitchen', { version: 9, expires: desired.expires + 1 });
    expect(await outcomeOf(other, { group: 'kitchen', trusted })).toBe('version-conflict');
  });

  it('a passed-over command is held back until it has expired, and refused then [C177]', async () => {
    const state = forGroup('kitchen');
    const trusted = await markOfMessage(state);
    const late = { nowSeconds: desired.expires, clockTrusted: true };
    const known = { group: 'kitchen', trusted };
    expect(await outcomeOf(state, known)).toBe('same');
    expect(await outcomeOf(state, { ...known, untried: true })).toBe('new');
    expect(await outcomeOf(state, { ...known, untried: true, time: late })).toBe('expired');
  });

  it('a passed-over command of a removed deploy key is refused later [C177] [C84]', async () => {
    const state = forGroup('kitchen');
    const trusted = { ...(await markOfMessage(state)), version: 0, era: 2 };
    const root = { version: 2, expires: desired.expires, notBefore: issued + 1 };
    const known = { group: 'kitchen', trusted, root };
    expect(await outcomeOf(state, known)).toBe('same');
    expect(await outcomeOf(state, { ...known, untried: true })).toBe('version-older');
  });

  it.each([
    ['neither a device nor a group', {}],
    ['both', { device: 'pump-1', group: 'kitchen' }],
    ['a share of a device', { device: 'pump-1', share: { from: 0, to: 1 } }],
    ['a number as a share', { group: 'kitchen', share: 10 }],
    ['the whole ring as a share', { group: 'kitchen', share: { from: 0, to: 65_536 } }],
    ['a share that is empty', { group: 'kitchen', share: { from: 5, to: 5 } }],
    ['a share that goes round the ring', { group: 'kitchen', share: { from: 9, to: 5 } }],
    ['a share beyond the ring', { group: 'kitchen', share: { from: 1, to: 65_537 } }],
    ['a share without an end', { group: 'kitchen', share: { from: 1 } }],
    ['a part of a place', { group: 'kitchen', share: { from: 0.5, to: 2 } }],
    ['a salt with a NUL', { group: 'kitchen', share: { from: 0, to: 1, salt: 'a\0b' } }],
    ['a salt of 65 bytes', { group: 'kitchen', share: { from: 0, to: 1, salt: 'a'.repeat(65) } }],
    ['a share with more keys', { group: 'kitchen', share: { from: 0, to: 1, devices: [] } }],
  ])('a target that names %s is not signed [C174] [C227]', async (_what, target) => {
    const state = withField(desired, ['target'], target) as DesiredState;
    await expect(publish(state, operator)).rejects.toMatchObject({ code: 'desired-malformed' });
  });

  it('a withdrawal for a share is not signed [C227]', async () => {
    const target = { group: parseAcName('kitchen'), share: { from: 0, to: 1 } };
    const taken = { ...desired, target, pods: [], images: [], withdrawn: true } as const;
    await expect(publish(taken, operator)).rejects.toMatchObject({ code: 'desired-malformed' });
  });

  it('a withdrawal with pods is not signed [C177]', async () => {
    await expect(publish({ ...desired, withdrawn: true }, operator)).rejects.toMatchObject({
      code: 'desired-malformed',
    });
    expect(await outcomeOf({ ...desired, pods: [], images: [], withdrawn: true }, {})).toBe('new');
  });
});

describe('attacks on shares of a group', () => {
  // The place of pump-1 in the fleet farm is 62288.
  const part = (group: string, version: number, from: number, to: number): DesiredState =>
    forGroup(group, { version, target: { group: parseAcName(group), share: { from, to } } });
  const narrow = part('kitchen', 7, 0, 6554);
  const wide = part('kitchen', 8, 0, 65_535);

  it('a share is obeyed only by the devices in it [C227]', async () => {
    expect(await outcomeOf(narrow, { group: 'kitchen' })).toBe('outside');
    expect(await outcomeOf(wide, { group: 'kitchen' })).toBe('new');
  });

  it("a share of another group on my group's topic, on my own, and on both with all of it [C227]", async () => {
    for (const state of [part('floor', 7, 0, 65_535), part('floor', 7, 0, 1)]) {
      expect(await outcomeOf(state, { group: 'kitchen' })).toBe('wrong-target');
      expect(await outcomeOf(state, {})).toBe('wrong-target');
    }
  });

  it('an earlier, wider share is replayed after a narrower one [C228]', async () => {
    const trusted = await markOfMessage(part('kitchen', 9, 0, 1));
    expect(await outcomeOf(wide, { group: 'kitchen', trusted })).toBe('version-older');
    expect(await outcomeOf(wide, { group: 'kitchen', trusted, untried: true })).toBe('version-older');
  });

  it('an earlier, narrower share, or a command for all, is replayed after a wider one [C228]', async () => {
    const trusted = await markOfMessage(wide);
    expect(await outcomeOf(narrow, { group: 'kitchen', trusted })).toBe('version-older');
    expect(await outcomeOf(forGroup('kitchen'), { group: 'kitchen', trusted })).toBe('version-older');
  });

  it('two shares of one version, each published to half of the fleet [C228]', async () => {
    const trusted = await markOfMessage(narrow);
    const other = part('kitchen', 7, 0, 65_535);
    expect(await outcomeOf(other, { group: 'kitchen', trusted })).toBe('version-conflict');
  });

  it('a share that was passed over is published again as if it were untried [C228]', async () => {
    const known = { group: 'kitchen', trusted: await markOfMessage(narrow) };
    expect(await outcomeOf(narrow, known)).toBe('outside');
    expect(await outcomeOf(narrow, { ...known, untried: true })).toBe('outside');
    const inNewEra = { ...known, trusted: { ...known.trusted, version: 0, era: 2 } };
    expect(await outcomeOf(narrow, inNewEra)).toBe('outside');
  });

  it('the share is changed on the way [C227]', async () => {
    const { payload, signatures } = decodeEnvelope(await publish(narrow, operator));
    const bytes = Buffer.from(payload);
    // 6554 is 0x19 0x19 0x9a in CBOR.
    const at = bytes.indexOf(Buffer.from([0x19, 0x19, 0x9a]));
    expect(at).toBeGreaterThan(0);
    bytes[at + 1] = 0xff;
    const message = encodeEnvelope({ payload: bytes, signatures });
    await expect(examineMessage(message, { ...context, group: 'kitchen' })).rejects.toMatchObject({
      code: 'signature-invalid',
    });
  });
});
