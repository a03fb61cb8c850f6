import { describe, expect, it } from 'vitest';
import {
  dependencyLimits,
  layersOf,
  type ListedImage,
  renderOrder,
  resolveDependencies,
} from '../../../src/image/appc/dependencies.ts';
import { parseImageId } from '../../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';

const idOf = (name: string) =>
  parseImageId(`sha512-${Buffer.from(name).toString('hex').padEnd(128, '0').slice(0, 128)}`);

/** An image with a letter as name; dependencies are letters, or entries of a manifest. */
function image(
  name: string,
  dependencies: readonly (string | object)[] = [],
  more: { version?: string; sizeBytes?: number } = {},
): ListedImage {
  const { version, sizeBytes } = more;
  return {
    id: idOf(`${name}${version ?? ''}`),
    manifest: parseImageManifest(
      Buffer.from(
        JSON.stringify({
          acKind: 'ImageManifest',
          acVersion: '0.8.11',
          name,
          labels: version === undefined ? [] : [{ name: 'version', value: version }],
          dependencies: dependencies.map((one) => (typeof one === 'string' ? { imageName: one } : one)),
        }),
      ),
    ),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

function names(images: readonly ListedImage[]): string {
  return images.map(({ manifest }) => manifest.name).join(' ');
}

/**
 * The order in which the first of these images is rendered: with `a: b c`, a depends on b and c.
 */
function orders(...lines: readonly string[]): { order: string; layers: string } {
  const images = lines.map((line) => {
    const [name = '', rest = ''] = line.split(':');
    return image(
      name,
      rest.split(' ').filter((word) => word !== ''),
    );
  });
  const [first] = images;
  if (first === undefined) throw new Error('no image');
  const resolved = resolveDependencies(first, images);
  return { order: names(renderOrder(resolved)), layers: names(layersOf(resolved)) };
}

describe('[A4.4] the order of rendering (ace.md#filesystem-setup)', () => {
  it.each([
    ['specification', ['a'], 'a', 'a'],
    ['specification', ['a: b c', 'b', 'c: d', 'd'], 'b d c a', 'b d c a'],
    ['specification', ['a: b c', 'b: d', 'c: d', 'd'], 'd b d c a', 'b d c a'],
    ['ours', ['a: b b', 'b'], 'b b a', 'b a'],
  ])('%s: %j is depth first, in list order: %s', (_label, lines, order, layers) => {
    expect(orders(...lines)).toEqual({ order, layers });
  });
});

describe('matching a dependency (aci.md#dependency-matching)', () => {
  const one = image('base', [], { version: '1' });
  const two = image('base', [], { version: '2', sizeBytes: 1000 });
  const find = (dependency: object) => {
    const top = image('app', [{ imageName: 'base', ...dependency }]);
    return resolveDependencies(top, [top, one, two]).dependencies[0]?.image;
  };

  it('[A4.1] compares name and labels', () => {
    expect(find({ labels: [{ name: 'version', value: '2' }] })).toBe(two);
  });

  it('[A4.2] compares the image ID where one is given', () => {
    expect(find({ imageID: one.id })).toBe(one);
  });

  it('[A4.3] compares the size in the manifest', () => {
    expect(find({ imageID: two.id, size: 1000 })).toBe(two);
  });

  it.each([
    ['no image of the name [A4.1]', 'image-dependency-missing', { imageName: 'other' }],
    [
      'a label that no image has [A4.1]',
      'image-dependency-missing',
      { labels: [{ name: 'version', value: '3' }] },
    ],
    [
      'a label that the image lacks [A4.1]',
      'image-dependency-missing',
      { labels: [{ name: 'os', value: 'linux' }] },
    ],
    ['the ID of no image (the ID MUST match) [A4.2]', 'image-dependency-missing', { imageID: idOf('none') }],
    [
      'an ID and labels that contradict each other [A4.2]',
      'image-dependency-missing',
      { imageID: one.id, labels: [{ name: 'version', value: '2' }] },
    ],
    ['several that fit [A4.12]', 'image-dependency-invalid', {}],
    ['another size ("endless data") [A4.3]', 'image-dependency-invalid', { imageID: two.id, size: 999 }],
  ])('refuses %s: %s', (_what, code, dependency) => {
    expect(() => find(dependency)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('[A4.11] circular dependencies (ours: the text does not mention them, the reference never returns)', () => {
  it.each([
    ['an image that depends on itself', ['a: a']],
    ['a circle', ['a: b', 'b: c', 'c: a']],
  ])('%s is refused, and the message names the circle', (_what, lines) => {
    expect(() => orders(...lines)).toThrow(/in a circle: a → .*a$/);
  });

  it('a chain is accepted up to the greatest depth and refused beyond', () => {
    const chain = (depth: number) =>
      Array.from({ length: depth }, (_, index) =>
        index < depth - 1 ? `i${index}: i${index + 1}` : `i${index}`,
      );
    expect(orders(...chain(dependencyLimits.depth)).layers.split(' ')).toHaveLength(dependencyLimits.depth);
    expect(() => orders(...chain(dependencyLimits.depth + 1))).toThrow(
      expect.objectContaining({ code: 'image-dependency-invalid' }) as Error,
    );
  });

  it('diamonds that double with every level are refused before they are resolved', () => {
    const levels = Array.from({ length: 15 }, (_, index) => `i${index}: i${index + 1} i${index + 1}`);
    expect(() => orders(...levels, 'i15')).toThrow(/more than 128 images/);
  });
});
