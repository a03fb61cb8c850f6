import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import { maxStateBytes, stateSlots } from '../../../src/device/store/index.ts';
import { CrashingDisk, everyCrash } from './crashing-disk.ts';

const directory = '/state';
const body = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

async function diskWith(...bodies: string[]): Promise<CrashingDisk> {
  const disk = new CrashingDisk();
  for (const text of bodies) await stateSlots(disk, directory).write(body(text));
  return disk;
}

async function damage(
  disk: CrashingDisk,
  name: string,
  how: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  const path = `${directory}/${name}`;
  disk.put(path, how((await disk.read(path, maxStateBytes)) ?? new Uint8Array()));
}

const flipBit = (bytes: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  copy[12] = (copy[12] ?? 0) ^ 1;
  return copy;
};

describe('the state of the device', () => {
  it('is absent before it is first saved', async () => {
    expect(await stateSlots(new CrashingDisk(), directory).read()).toBeUndefined();
  });

  it('is what was saved last, with its generation', async () => {
    const disk = await diskWith('one', 'two', 'three');
    expect(await stateSlots(disk, directory).read()).toEqual({ generation: 3, body: body('three') });
    expect(disk.paths()).toEqual(['/state/state-a.cbor', '/state/state-b.cbor']);
  });

  it.each([0, 1, 2, 3])(
    'is old or new after a power cut at any moment of saving generation %i + 1',
    async (n) => {
      const disk = await diskWith(...['one', 'two', 'three'].slice(0, n));
      const before = await stateSlots(disk, directory).read();
      const outcomes = await everyCrash(disk, () => stateSlots(disk, directory).write(body('next')));
      expect(outcomes.length).toBeGreaterThan(5);
      const seen = new Set<number>();
      for (const outcome of outcomes) {
        const after = await stateSlots(outcome, directory).read();
        if (after?.generation === n + 1) expect(after.body).toEqual(body('next'));
        else expect(after).toEqual(before);
        seen.add(after?.generation ?? 0);
      }
      expect([...seen].sort()).toEqual([n, n + 1]);
    },
  );

  it('is always the new one once saving has returned', async () => {
    const disk = await diskWith('one', 'two');
    for (const outcome of disk.crashes()) {
      expect((await stateSlots(outcome, directory).read())?.body).toEqual(body('two'));
    }
  });

  it('can be saved again after any power cut', async () => {
    const disk = await diskWith('one', 'two');
    for (const outcome of await everyCrash(disk, () => stateSlots(disk, directory).write(body('three')))) {
      await stateSlots(outcome, directory).write(body('again'));
      expect((await stateSlots(outcome, directory).read())?.body).toEqual(body('again'));
    }
  });

  it.each([
    ['a flipped bit', flipBit],
    ['a lost end', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1)],
    ['an empty file', () => new Uint8Array()],
    ['bytes behind the end', (bytes: Uint8Array) => Uint8Array.from([...bytes, 0])],
    ['a file that is far too large', () => new Uint8Array(maxStateBytes + 1000)],
  ])('falls back to the one before when the newest has %s', async (_, how) => {
    const disk = await diskWith('one', 'two');
    await damage(disk, 'state-b.cbor', how);
    expect(await stateSlots(disk, directory).read()).toEqual({
      ...{ generation: 1, body: body('one') },
      fault: expect.stringContaining(`${directory}/state-b.cbor`) as string,
    });
    await stateSlots(disk, directory).write(body('three'));
    expect(await stateSlots(disk, directory).read()).toEqual({ generation: 2, body: body('three') });
  });

  it('[C23] is refused when a slot has a later format: the older slot may trust an older version', async () => {
    const disk = await diskWith('one', 'two');
    const slot = { format: 2, generation: 3, compressed: true, body: body('three') };
    disk.put(`${directory}/state-a.cbor`, encodeCbor(slot));
    await expect(stateSlots(disk, directory).read()).rejects.toMatchObject({ code: 'state-unreadable' });
    await expect(stateSlots(disk, directory).write(body('x'))).rejects.toMatchObject({
      code: 'state-unreadable',
    });
  });

  it('[C23] falls back to the older slot when one of a later format was cut off', async () => {
    const disk = await diskWith('one', 'two');
    const path = `${directory}/state-a.cbor`;
    const slot = Buffer.from(encodeCbor({ format: 2, generation: 3, body: body('three') }));
    for (let bytes = 0; bytes < slot.length; bytes++) {
      disk.put(path, slot.subarray(0, bytes));
      // Damage loses one save, also that of a later wherry: its save before is in the other slot.
      expect(await stateSlots(disk, directory).read()).toEqual({
        ...{ generation: 2, body: body('two') },
        fault: expect.stringContaining(path) as string,
      });
    }
    disk.put(path, slot);
    await expect(stateSlots(disk, directory).read()).rejects.toMatchObject({ code: 'state-unreadable' });
    disk.put(`${directory}/state-b.cbor`, slot.subarray(0, -1));
    disk.put(path, slot.subarray(0, -1));
    await expect(stateSlots(disk, directory).read()).rejects.toMatchObject({ code: 'state-unreadable' });
  });

  it('falls back to the older slot when a flipped bit makes a format look later', async () => {
    const disk = await diskWith('one', 'two');
    const at = Buffer.from('format').length;
    await damage(disk, 'state-b.cbor', (bytes) => {
      const copy = Buffer.from(bytes);
      copy[copy.indexOf('format') + at] = 2;
      return copy;
    });
    expect((await stateSlots(disk, directory).read())?.generation).toBe(1);
  });

  it('is not absent when every slot is damaged: state-unreadable', async () => {
    const one = await diskWith('one');
    await damage(one, 'state-a.cbor', flipBit);
    await expect(stateSlots(one, directory).read()).rejects.toMatchObject({ code: 'state-unreadable' });
    await expect(stateSlots(one, directory).write(body('x'))).rejects.toMatchObject({
      code: 'state-unreadable',
    });

    const two = await diskWith('one', 'two');
    await damage(two, 'state-a.cbor', flipBit);
    await damage(two, 'state-b.cbor', flipBit);
    await expect(stateSlots(two, directory).read()).rejects.toMatchObject({ code: 'state-unreadable' });
  });
});
