import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAcName } from '../../../src/image/appc/identifiers.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { decodeEnvelope } from '../../../src/wire/trust/envelope.ts';
import { examineMessage, type ExamineContext } from '../../../src/wire/trust/examine.ts';
import type { DesiredState } from '../../../src/wire/trust/desired-state.ts';
import type { GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { day, desired, issued, makeKey, publish, withField } from '../../support/operator.ts';

/**
 * A broker that is hostile shows a device genuine commands on topics that they are not for. One
 * test per attack.
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
  it('a command is taken on the topic of its target alone [C174]', async () => {
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

  it("an old command of a group is replayed while the device's own goes first [C176]", async () => {
    const trusted = await markOfMessage(forGroup('kitchen', { version: 9 }));
    expect(await outcomeOf(forGroup('kitchen', { version: 8 }), { group: 'kitchen', trusted })).toBe(
      'version-older',
    );
    const other = forGroup('kitchen', { version: 9, expires: desired.expires + 1 });
    expect(await outcomeOf(other, { group: 'kitchen', trusted })).toBe('version-conflict');
  });

  it('a passed-over command is held back until it has expired, then counts [C177]', async () => {
    const state = forGroup('kitchen');
    const trusted = await markOfMessage(state);
    const late = { nowSeconds: desired.expires, clockTrusted: true };
    const known = { group: 'kitchen', trusted };
    expect(await outcomeOf(state, known)).toBe('same');
    expect(await outcomeOf(state, { ...known, untried: true })).toBe('new');
    expect(await outcomeOf(state, { ...known, untried: true, time: late })).toBe('expired');
  });

  it('a passed-over command of a deploy key that was taken out counts later [C177] [C84]', async () => {
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
    ['a group and a share of it', { group: 'kitchen', share: 10 }],
  ])('a target that names %s is not signed [C174]', async (_what, target) => {
    const state = withField(desired, ['target'], target) as DesiredState;
    await expect(publish(state, operator)).rejects.toMatchObject({ code: 'desired-malformed' });
  });

  it('a withdrawal that brings pods along is not signed [C177]', async () => {
    await expect(publish({ ...desired, withdrawn: true }, operator)).rejects.toMatchObject({
      code: 'desired-malformed',
    });
    expect(await outcomeOf({ ...desired, pods: [], images: [], withdrawn: true }, {})).toBe('new');
  });
});
