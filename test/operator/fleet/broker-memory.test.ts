import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import {
  compareMemory,
  mustRepeat,
  type NewestCommand,
  type ReadBack,
} from '../../../src/operator/fleet/broker-memory.ts';
import { composeDesired } from '../../../src/operator/fleet/compose.ts';
import { encodeDesiredState, encodeEnvelope } from '../../../src/wire/trust/index.ts';

function command(version: number, signature = 'signature'): NewestCommand {
  const desired = composeDesired({
    fleet: 'harbour' as AcName,
    target: { device: 'crane-7' as AcName },
    version,
    nowSeconds: 1,
    validDays: 90,
    pods: [],
    images: [],
    policy: { probationSeconds: 10, limits: 'require', reconnectWindowSeconds: 60 },
  });
  return {
    version,
    envelope: encodeEnvelope({ payload: encodeDesiredState(desired), signatures: [signature] }),
  };
}
const kept = ({ envelope }: NewestCommand): ReadBack => ({ seen: 'command', envelope });

describe('the messages on the broker beside version 3 of the fleet directory', () => {
  it.each<[string, ReadBack, object, boolean]>([
    ['the same', kept(command(3)), { keeps: 'newest' }, false],
    ['nothing', { seen: 'nothing' }, { keeps: 'nothing' }, true],
    ['an older version', kept(command(2)), { keeps: 'older', version: 2 }, true],
    ['a newer version', kept(command(4)), { keeps: 'newer', version: 4 }, false],
    ['another version 3', kept(command(3, 'another')), { keeps: 'other', version: 3 }, false],
    ['no command', { seen: 'command', envelope: Buffer.from('noise') }, { keeps: 'unreadable' }, true],
    ['unseen', { seen: 'unknown' }, { keeps: 'unknown' }, false],
  ])('%s', (_, read, memory, isRepeated) => {
    expect(compareMemory(command(3), read)).toEqual(memory);
    expect(mustRepeat(compareMemory(command(3), read), 3, 3)).toBe(isRepeated);
    // The device has trusted a command of another publisher, which nothing of this directory may
    // replace.
    expect(mustRepeat(compareMemory(command(3), read), 3, 4)).toBe(false);
  });
});
