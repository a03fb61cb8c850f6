import { describe, expect, it } from 'vitest';
import type { AcName, ImageId } from '../../../src/image/appc/types.ts';
import { parseImageManifest, serializeImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { appImages, appTree, renderingsOf } from '../../../src/device/world/app-trees.ts';
import type { StoredImage } from '../../../src/device/store/image-store.ts';
import { desiredImageOf, desiredStateOf } from '../../support/desired.ts';

interface Sketch {
  readonly on?: readonly string[];
  readonly list?: readonly string[];
  readonly implies?: true;
}

const idOf = (name: string) => `sha512-${Buffer.from(name).toString('hex').padEnd(128, '0')}` as ImageId;

function stored(name: string, { on = [], list = [], implies }: Sketch): StoredImage {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: `example.com/${name}`,
    dependencies: on.map((imageName) => ({ imageName: `example.com/${imageName}` })),
    pathWhitelist: list,
  };
  return {
    ...{ id: idOf(name), name: `example.com/${name}`, sizeBytes: 4096, sha256: '' },
    manifest: serializeImageManifest(parseImageManifest(Buffer.from(JSON.stringify(manifest)))),
    ...(implies === undefined ? {} : { impliesDirectories: implies }),
  };
}

/** A desired state with a pod for each of `apps`, and the stored manifests of its images. */
function device(apps: readonly string[], images: Readonly<Record<string, Sketch>>) {
  const desired = desiredStateOf({
    pods: apps.map((app, index) => ({
      name: `pod-${index}` as AcName,
      manifest: Buffer.from(
        JSON.stringify({
          acKind: 'PodManifest',
          acVersion: '0.8.11',
          apps: [{ name: 'main', image: { id: idOf(app) } }],
        }),
      ),
    })),
    images: Object.keys(images).map((name) => ({
      ...desiredImageOf(idOf(name), `example.com/${name}`),
      urls: ['https://a.example/x'],
    })),
  });
  return { desired, images: Object.entries(images).map(([name, sketch]) => stored(name, sketch)) };
}

function treeOf(app: string, images: Readonly<Record<string, Sketch>>) {
  const all = device([app], images);
  const listed = appImages(all.desired, all.images);
  const image = listed.find(({ id }) => id === idOf(app));
  if (image === undefined) throw new Error(`no image ${app}`);
  return appTree(image, listed);
}

describe('the tree of an app [C39]', () => {
  it('consists of layers, the uppermost first, if no image has a whitelist', () => {
    const tree = treeOf('app', { app: { on: ['base', 'middle'] }, middle: { on: ['base'] }, base: {} });
    expect(tree).toEqual({ layers: ['app', 'middle', 'base'].map(idOf) });
  });

  it.each<[string, Record<string, Sketch>]>([
    ['the image itself', { app: { on: ['base'], list: ['/a'] }, base: {} }],
    ['a dependency', { app: { on: ['base', 'other'] }, base: { list: ['/a'] }, other: {} }],
    ['a dependency of a dependency', { app: { on: ['b'] }, b: { on: ['c'] }, c: { list: ['/a'] } }],
    ['an image that depends on nothing', { app: { list: ['/a'] } }],
  ])('is rendered where %s has one', (_what, images) => {
    const { layers, rendering } = treeOf('app', images);
    expect(layers).toEqual([rendering?.id]);
    expect(rendering?.id).toMatch(/^rendered-[0-9a-f]{64}$/);
    expect(rendering?.imageIds.at(-1)).toBe(idOf('app'));
    expect(rendering?.tarSizeBytes).toBe(20 * Object.keys(images).length);
  });

  it('is rendered only if an archive with implied directories is above another', () => {
    expect(treeOf('app', { app: { on: ['base'], implies: true }, base: {} }).rendering).toMatchObject({
      impliesDirectories: [idOf('app')],
    });
    expect(treeOf('app', { app: { on: ['base'] }, base: { implies: true } }).rendering).toBeUndefined();
  });

  it('has the path to each image, so every whitelist on it filters', () => {
    const images = { app: { on: ['b', 'c'] }, b: { on: ['d'], list: ['/a'] }, c: { on: ['d'] }, d: {} };
    expect(treeOf('app', images).rendering?.steps).toEqual([
      { image: idOf('d'), above: [idOf('app'), idOf('b')] },
      { image: idOf('b'), above: [idOf('app')] },
      { image: idOf('d'), above: [idOf('app'), idOf('c')] },
      { image: idOf('c'), above: [idOf('app')] },
      { image: idOf('app'), above: [] },
    ]);
  });

  it('has the same name everywhere, and a different one for another order', () => {
    const images = { app: { on: ['b', 'c'], list: ['/a'] }, b: {}, c: {} };
    const { rendering } = treeOf('app', images);
    expect(treeOf('app', { ...images, unrelated: {} }).rendering?.id).toBe(rendering?.id);
    const other = { ...images, app: { on: ['c', 'b'], list: ['/a'] } };
    expect(treeOf('app', other).rendering?.id).not.toBe(rendering?.id);
  });
});

describe('the trees that a deployment needs rendered', () => {
  it('are listed once, for any number of apps', () => {
    const { desired, images } = device(['app', 'app', 'plain'], { app: { list: ['/a'] }, plain: {} });
    expect(renderingsOf(desired, images).map(({ name }) => name)).toEqual(['example.com/app']);
  });

  it('[C272] are refused with the name of the pod with an unreadable manifest', () => {
    const { desired, images } = device(['a', 'a'], { a: {} });
    const pods = desired.pods.map((pod, at) => (at === 1 ? { ...pod, manifest: Buffer.from('{}') } : pod));
    expect(() => renderingsOf({ ...desired, pods }, images)).toThrow(/^pod pod-1: pod manifest: /);
  });

  it('do not include images that are not listed', () => {
    const { desired, images } = device(['app', 'other'], { app: {} });
    expect(() => renderingsOf(desired, images)).toThrow(
      expect.objectContaining({ code: 'pod-image-unlisted' }) as Error,
    );
  });
});
