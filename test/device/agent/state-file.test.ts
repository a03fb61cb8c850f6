import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import { openState } from '../../../src/device/agent/state-file.ts';
import { type DeviceState, emptyState, encodeState } from '../../../src/device/deploy/index.ts';
import { usualRules } from '../../../src/device/pod/index.ts';
import { stateSlots } from '../../../src/device/store/index.ts';
import { imageIdOf } from '../deploy/ids.ts';
import { deployedPod } from '../../support/world-model.ts';
import { CrashingDisk } from '../store/crashing-disk.ts';

const directory = '/state';
const journal = { log: () => undefined };

/** A device whose older slot trusts version 3, and whose newer slot has this body. */
async function slotsWith(newest: Uint8Array) {
  const disk = new CrashingDisk();
  const slots = stateSlots(disk, directory);
  await slots.write(encodeState({ ...emptyState, trusted: { version: 3, payloadSha256: 'a', issued: 1 } }));
  await slots.write(newest);
  return slots;
}

describe('a state that another version of wherry wrote', () => {
  it.each([
    ['in a later format', { ...emptyState, format: 2 }],
    ['with a field that this version does not know', { ...emptyState, roles: [] }],
    ['without a field that this version needs', { format: 1, images: [] }],
  ])(
    '[C23] refuses with state-unreadable %s, and an older slot never takes its place',
    async (_name, newest) => {
      const slots = await slotsWith(encodeCbor(newest));
      await expect(openState(slots, journal)).rejects.toMatchObject({
        code: 'state-unreadable',
        message: expect.stringMatching(/another version of wherry.*install/) as string,
      });
    },
  );
});

describe('a slot that is lost', () => {
  const lines: string[] = [];
  const logging = { log: (_: string, message: string) => void lines.push(message) };

  it.each<[string, RegExp, (disk: CrashingDisk, slot: string) => unknown]>([
    ['emptied', /is damaged: /, (disk, slot) => disk.put(slot, new Uint8Array())],
    ['deleted', /is missing; /, (disk, slot) => disk.remove(slot)],
  ])('because it was %s is logged, and the other one is used [C311]', async (_, fault, lose) => {
    const disk = new CrashingDisk();
    const slots = stateSlots(disk, directory);
    lines.length = 0;
    // The first slot holds versions 1 and 3.
    for (const version of [1, 2, 3]) {
      const trusted = { version, payloadSha256: 'a', issued: 1 };
      await slots.write(encodeState({ ...emptyState, trusted }));
      await openState(slots, logging);
    }
    expect(lines).toEqual([]);
    for (const [slot, version] of [
      ['state-a.cbor', 2],
      ['state-b.cbor', 3],
    ] as const) {
      const kept = await disk.read(`${directory}/${slot}`, 1 << 20);
      await lose(disk, `${directory}/${slot}`);
      const keeper = await openState(slots, logging);
      expect(keeper.state.trusted.version).toBe(version);
      expect(lines.splice(0)).toEqual([expect.stringMatching(new RegExp(`${slot} ${fault.source}`))]);
      disk.put(`${directory}/${slot}`, kept ?? new Uint8Array());
    }
    await openState(slots, logging);
    expect(lines).toEqual([]);
  });
});

describe('a state that an older wherry saved', () => {
  it('keeps the probe of an app', async () => {
    const [service] = deployedPod('web').services;
    const pod = { ...deployedPod('web'), services: [{ ...service, probeHttp: { port: 80, path: '/a' } }] };
    const saved = encodeCbor({ ...emptyState, current: { version: 1, pods: [pod], imageIds: [] } });
    const { state } = await openState(await slotsWith(saved), journal);
    expect(state.current?.pods[0]?.services).toEqual([
      { ...service, probe: { ask: { kind: 'http', port: 80, path: '/a' }, rules: usualRules } },
    ]);
  });
});

describe('a state that is saved', () => {
  it('can be read back with any names and messages', async () => {
    const long = 'n'.repeat(200);
    const pod = {
      ...deployedPod(long),
      timer: `${long}.timer`,
      services: [
        {
          app: long,
          unit: `${long}.service`,
          imageId: imageIdOf('i'),
          probe: { ask: { kind: 'http' as const, port: 1, path: `/${long}` }, rules: usualRules },
        },
      ],
      isolators: [
        { app: long, name: 'x'.repeat(400), outcome: 'ignored' as const, detail: 'd'.repeat(5000) },
      ],
    };
    const state: DeviceState = {
      ...emptyState,
      current: { version: 1, pods: [pod], imageIds: [] },
      images: [
        {
          id: imageIdOf('i'),
          name: `example.com/${'n'.repeat(400)}`,
          sizeBytes: 1,
          sha256: '',
          manifest: new Uint8Array(),
        },
      ],
    };
    const slots = stateSlots(new CrashingDisk(), directory);
    const keeper = await openState(slots, journal);
    await keeper.save(state);
    expect((await openState(slots, journal)).state).toEqual(state);
  });

  it('never takes a newer trusted version back, of the device or of a group', async () => {
    const keeper = await openState(stateSlots(new CrashingDisk(), directory), journal);
    const mark = (version: number) => ({ version, payloadSha256: `${version}`, issued: version });
    const before: DeviceState = {
      ...emptyState,
      trusted: mark(3),
      groups: [{ name: 'pumps', ...mark(3) }],
    };
    await keeper.save(before);
    const newer = {
      trusted: mark(4),
      groups: [
        { name: 'pumps', ...mark(5) },
        { name: 'cranes', ...mark(6) },
      ],
    };
    await keeper.update((state) => ({ ...state, ...newer }));
    await keeper.save({ ...before, follows: 'pumps' });
    expect(keeper.state).toEqual({ ...before, ...newer, follows: 'pumps' });
  });

  it('is not written if it could not be read back', async () => {
    const slots = stateSlots(new CrashingDisk(), directory);
    const keeper = await openState(slots, journal);
    await keeper.save({ ...emptyState, trusted: { version: 3, payloadSha256: 'a', issued: 1 } });
    const broken = { ...keeper.state, trusted: { version: 4, payloadSha256: 'a', issued: -1 } };
    await expect(keeper.save(broken)).rejects.toThrow(/state\/trusted\/issued/);
    expect(keeper.state.trusted.version).toBe(3);
    expect((await openState(slots, journal)).state.trusted.version).toBe(3);
  });
});
