import { describe, expect, it } from 'vitest';
import type { AcName, ImageId } from '../../../src/image/appc/types.ts';
import { repairVersion } from '../../../src/device/deploy/repair.ts';
import type { StoredImage } from '../../../src/device/store/image-store.ts';
import type { DesiredState } from '../../../src/wire/trust/desired-state.ts';
import { desiredImageOf, desiredStateOf } from '../../support/desired.ts';
import { deployedPod, WorldModel } from '../../support/world-model.ts';

const never = new AbortController().signal;
const clock = { nowMs: () => 5_000_000 };
const ids = ['sha512-a', 'sha512-b'] as ImageId[];

function desired(version: number): DesiredState {
  return desiredStateOf({
    version,
    images: ids.map((id) => desiredImageOf(id, `example.com/${id.slice(-1)}`)),
  });
}

/**
 * Stops the units that use the object, unmounts it, and starts them again. The pod `log` does not
 * use it.
 */
const startedAnew = (id: string) => ['adopt', 'stop web', `unmount ${id}`, 'start web'];

/** A device that runs version 3 with two images, one of which differs from the verified one. */
function damagedDevice(): WorldModel {
  const world = new WorldModel();
  const images = ids.map((id): StoredImage => ({
    id,
    name: id,
    sizeBytes: 10,
    sha256: '',
    manifest: new Uint8Array(),
  }));
  world.state = {
    ...world.state,
    trusted: { version: 3, payloadSha256: 'x', issued: 1 },
    current: {
      version: 3,
      pods: [deployedPod('web', [...ids, 'rendered-t']), deployedPod('log')],
      imageIds: ids,
    },
    images,
  };
  world.running = new Set(['web', 'log']);
  world.damaged.add('sha512-b');
  return world;
}

describe('images of the running version', () => {
  it('that are damaged are pulled again, and their apps are restarted [C71]', async () => {
    const world = damagedDevice();
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual(['example.com/b']);
    expect(world.calls).toEqual(['reserve', 'pull', 'save', ...startedAnew('sha512-b')]);
    expect(world.state.images.find(({ id }) => id === 'sha512-b')?.lastUse).toBe(5000);
    expect(world.state.current?.version).toBe(3);
  });

  it('that are intact are not touched [C24]', async () => {
    const world = damagedDevice();
    world.damaged.clear();
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual([]);
    expect(world.calls).toEqual([]);
  });

  it('that are intact leave damaged files of pods to be written again [C310]', async () => {
    const world = damagedDevice();
    world.damaged.clear();
    world.damagedFiles.add('web');
    world.running.delete('web');
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual(['files of pod web']);
    expect(world.calls.slice(0, 3)).toEqual(['stage', 'enable', 'save']);
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual([]);
  });

  it('that are intact get a damaged tree rendered again [C71]', async () => {
    const world = damagedDevice();
    world.damaged.clear();
    const tree = { id: 'rendered-t' as const, name: 'example.com/a', imageIds: ids };
    world.needed = [{ ...tree, steps: [], impliesDirectories: [], sizeBytes: 0, tarSizeBytes: 20 }];
    world.state = { ...world.state, trees: [{ ...tree, sizeBytes: 1, sha256: 'old' }] };
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual([]);
    world.damaged.add('rendered-t');
    world.calls.length = 0;
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual(['example.com/a']);
    expect(world.calls).toEqual(['reserve', 'render rendered-t', 'save', ...startedAnew('rendered-t')]);
    expect(world.state.trees?.map(({ sha256 }) => sha256)).toEqual(['']);
    // A tree has the name of the image of its app, which is named once.
    world.damaged.add('rendered-t').add('sha512-a');
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual(['example.com/a']);
  });

  it('are not touched during a deployment or by the command of another version', async () => {
    const world = damagedDevice();
    expect(await repairVersion(desired(2), world, world, never, clock)).toEqual([]);
    const ofGroup: DesiredState = { ...desired(3), target: { group: 'pumps' as AcName } };
    expect(await repairVersion(ofGroup, world, world, never, clock)).toEqual([]);
    world.state = { ...world.state, pending: { desired: desired(4), attempts: 0 } };
    expect(await repairVersion(desired(3), world, world, never, clock)).toEqual([]);
    expect(world.calls).toEqual([]);
  });

  it('that cannot be pulled do not affect running pods', async () => {
    const world = damagedDevice();
    world.refuse = { pull: 'download-failed' };
    await expect(repairVersion(desired(3), world, world, never, clock)).rejects.toMatchObject({
      code: 'download-failed',
    });
    expect(world.calls).toEqual(['reserve', 'pull']);
  });
});
