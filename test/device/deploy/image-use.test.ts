import { describe, expect, it } from 'vitest';
import { decodeState, encodeState } from '../../../src/device/deploy/state-codec.ts';
import { type DeployedPod, type DeviceState, emptyState } from '../../../src/device/deploy/state.ts';
import { imageUses, versionOf } from '../../../src/device/deploy/image-use.ts';
import { rootsOf } from '../../../src/device/deploy/roots.ts';
import { runDeployment } from '../../../src/device/deploy/deployment.ts';
import { encodeCbor } from '../../../src/core/cbor/encode.ts';
import { maxUnreferenced, withImage } from '../../../src/device/deploy/remembered-images.ts';
import type { StoredImage } from '../../../src/device/store/index.ts';
import { imageIdOf } from './ids.ts';
import { desiredStateOf } from '../../support/desired.ts';
import { deployedPod, WorldModel } from '../../support/world-model.ts';

function image(id: string, more: Partial<StoredImage> = {}): StoredImage {
  const manifest = Buffer.from(
    JSON.stringify({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: `example.com/${id}`,
      labels: [{ name: 'version', value: '1.0' }],
    }),
  );
  return {
    id: imageIdOf(id),
    name: `example.com/${id}`,
    sizeBytes: 1,
    sha256: 'ab'.repeat(32),
    manifest,
    ...more,
  };
}

const mountOf = (id: string): string => `${id}.mount`;
const idsOf = (...words: string[]) => words.map(imageIdOf);
const pod = (name: string, word: string): DeployedPod => ({
  ...deployedPod(name),
  services: [{ app: 'main', unit: `${name}.service`, imageId: imageIdOf(word) }],
  mounts: [mountOf(imageIdOf(word))],
});

const state: DeviceState = {
  ...emptyState,
  current: { version: 3, pods: [pod('web', 'a')], imageIds: idsOf('a', 'shared') },
  previous: { version: 2, pods: [pod('old', 'b')], imageIds: idsOf('b', 'shared') },
  images: [
    image('a'),
    image('b', { lastUse: 100 }),
    image('shared'),
    image('loose', { lastUse: 50 }),
    image('gone'),
  ],
};
const objects = new Map([
  [imageIdOf('a'), 10],
  [imageIdOf('b'), 20],
  [imageIdOf('shared'), 30],
  [imageIdOf('loose'), 40],
  [imageIdOf('stranger'), 50],
]);

describe('the content of a store', () => {
  const uses = imageUses(state, objects, mountOf, (unit) => unit === 'web.service');
  const of = (id: string) => uses.find((use) => use.id === imageIdOf(id));

  it('is listed with the deployments and pods that need it, and its last use', () => {
    expect(of('a')).toMatchObject({
      sizeBytes: 10,
      deployments: [{ which: 'current', version: 3 }],
      pods: ['web'],
      lastUse: 'now',
    });
    expect(of('b')).toMatchObject({
      deployments: [{ which: 'previous', version: 2 }],
      pods: [],
      lastUse: 100,
    });
    expect(of('shared')?.deployments.map(({ which }) => which)).toEqual(['current', 'previous']);
    expect(of('loose')).toMatchObject({ deployments: [], lastUse: 50 });
    expect(versionOf(image('a'))).toBe('1.0');
  });

  it('lists unknown and missing objects, and not collected ones', () => {
    expect(of('stranger')).toEqual({ id: imageIdOf('stranger'), sizeBytes: 50, deployments: [], pods: [] });
    expect(of('gone')).toBeUndefined();
    const without = imageUses(state, new Map(), mountOf, () => false);
    expect(without.map(({ id, sizeBytes }) => [id, sizeBytes])).toEqual([
      [imageIdOf('a'), undefined],
      [imageIdOf('b'), undefined],
      [imageIdOf('shared'), undefined],
    ]);
  });

  it('is kept by collection when a deployment or a running pod needs it', () => {
    const roots = rootsOf(state, [pod('between', 'loose')]);
    expect([...roots.objectIds].sort()).toEqual(idsOf('a', 'b', 'shared').sort());
    expect([...roots.podUuids]).toEqual(['web', 'old', 'between'].map((name) => deployedPod(name).uuid));
  });
});

describe('the last use of an image', () => {
  it('is the time at which the set that needed it was replaced', async () => {
    const world = new WorldModel();
    world.state = {
      ...state,
      pending: { desired: desiredStateOf({ version: 4 }), attempts: 0 },
    };
    await runDeployment(world, world, () => undefined, new AbortController().signal, {
      nowMs: () => 777_000,
    });
    expect(world.state.current?.version).toBe(4);
    const lastUse = (id: string) => world.state.images.find((one) => one.id === imageIdOf(id))?.lastUse;
    expect([lastUse('a'), lastUse('shared'), lastUse('b')]).toEqual([777, 777, 100]);
    // Once when activation begins, once at the commit.
    expect(world.calls.filter((call) => call === 'save')).toHaveLength(2);
  });

  it('is at least as late as the newest command, on a device whose clock has stopped', () => {
    const later = { ...state, trusted: { ...state.trusted, issued: 5000 } };
    expect(withImage(later, image('new'), 3).images.at(-1)).toMatchObject({
      id: imageIdOf('new'),
      lastUse: 5000,
    });
  });
});

describe('the images that a state remembers', () => {
  it('stay few: the longest unused are forgotten, those in use are kept', () => {
    let many = state;
    for (let number = 0; number < 500; number += 1)
      many = withImage(many, image(`n${number}`), 1000 + number);
    const remembered = many.images.map(({ id }) => id);
    expect(remembered).toHaveLength(3 + maxUnreferenced);
    expect(remembered).toEqual(expect.arrayContaining(idsOf('a', 'b', 'shared', 'n499')));
    expect(decodeState(encodeState(many)).images).toHaveLength(3 + maxUnreferenced);
  });

  it('do not keep those for years that a clock which was ahead has marked', () => {
    let many = state;
    for (let number = 0; number < 40; number += 1)
      many = withImage(many, image(`ahead${number}`), 2e9 + number);
    for (let number = 0; number < 3; number += 1) many = withImage(many, image(`n${number}`), 1000 + number);
    const remembered = many.images.map(({ id }) => id);
    expect(remembered).toEqual(expect.arrayContaining(idsOf('a', 'b', 'shared', 'n0', 'n1', 'n2')));
  });

  it('are read from a state without seals, and with seals', () => {
    const { verity, lastUse, ...before } = image('a');
    const old = encodeCbor({ ...emptyState, images: [before] });
    expect(decodeState(old).images).toEqual([{ ...before, manifest: new Uint8Array(before.manifest) }]);
    const sealed = image('a', { verity: `sha256:${'cd'.repeat(32)}`, lastUse: 7 });
    expect(decodeState(encodeState({ ...emptyState, images: [sealed] })).images[0]).toMatchObject({
      verity: sealed.verity,
      lastUse: 7,
    });
    const damaged = { ...emptyState, images: [image('a', { verity: 'md5:1' })] };
    expect(() => decodeState(encodeState(damaged))).toThrow(/not a digest of fs-verity/);
  });

  it('[A2.9] are refused with a pod that has a wrong UUID', () => {
    const pods = [{ ...pod('web', 'a'), uuid: '../../etc' }];
    const damaged = { ...emptyState, current: { version: 1, pods, imageIds: [] } };
    expect(() => decodeState(encodeState(damaged))).toThrow(/uuid: expected a UUID, found "..\/..\/etc"/);
  });

  it('can be read back with manifests of any size', () => {
    const large = [1, 2, 3].map((number) => ({ ...image(`m${number}`), manifest: new Uint8Array(1 << 20) }));
    expect(decodeState(encodeState({ ...emptyState, images: large })).images).toHaveLength(3);
  });
});
