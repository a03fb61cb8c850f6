import { describe, expect, it } from 'vitest';
import { placeKey } from '../../../../src/cli/commands/device/key.ts';
import { CrashingDisk } from '../../../device/store/crashing-disk.ts';

const places = { deviceKey: '/var/lib/wherry/key.cred', devicePublicKey: '/var/lib/wherry/key.asc' };
const first = { sealed: 'private 1', shown: 'public 1' };
const second = { sealed: 'private 2', shown: 'public 2' };

const textOf = async (disk: CrashingDisk, path: string): Promise<string | undefined> => {
  const bytes = await disk.read(path, 1000);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
};
/** The halves, undefined without the private one: `wherry key init` then makes a new key. */
const keyOn = async (disk: CrashingDisk) => {
  const sealed = await textOf(disk, places.deviceKey);
  return sealed === undefined ? undefined : { sealed, shown: await textOf(disk, places.devicePublicKey) };
};

describe('the key of a device [C322]', () => {
  it.each([
    ['new', [], [undefined, second]],
    ['replaced', [first], [undefined, first, second]],
  ] as const)('is whole or not there after any power cut: %s', async (_what, before, allowed) => {
    const disk = new CrashingDisk();
    for (const key of before) await placeKey(disk, places, key);
    const after: CrashingDisk[] = [];
    disk.onChange = () => after.push(...disk.crashes());
    await placeKey(disk, places, second);
    expect(await keyOn(disk)).toEqual(second);
    expect(disk.paths()).toEqual([places.devicePublicKey, places.deviceKey]);
    expect(after.length).toBeGreaterThan(10);
    for (const crashed of after) {
      expect(allowed).toContainEqual(await keyOn(crashed));
      await placeKey(crashed, places, first);
      expect(await keyOn(crashed)).toEqual(first);
    }
  });

  it('stays when there is no room for another', async () => {
    for (const failing of [1, 2, 3, 4]) {
      const disk = new CrashingDisk();
      await placeKey(disk, places, first);
      let step = 0;
      disk.onChange = () => {
        step += 1;
        if (step === failing) throw new Error('the disk is full');
      };
      await expect(placeKey(disk, places, second)).rejects.toThrow('the disk is full');
      expect(await keyOn(disk)).toEqual(first);
      expect(disk.paths()).toEqual([places.devicePublicKey, places.deviceKey]);
    }
  });
});
