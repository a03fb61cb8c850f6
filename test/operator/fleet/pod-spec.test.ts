import { describe, expect, it } from 'vitest';
import { parseAcName, parseImageId } from '../../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { parseVolumeString } from '../../../src/image/appc/string-forms.ts';
import { imagesOf, OfferedImages, reifyPod, simplePod } from '../../../src/operator/fleet/pod-spec.ts';
import type { OfferedImage } from '../../../src/operator/fleet/offered-image.ts';

function image(
  path: string,
  digit: string,
  labels: Record<string, string> = {},
  isolators: object[] = [],
): OfferedImage {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'example.com/web',
    labels: Object.entries({ os: 'linux', arch: 'aarch64', ...labels }).map(([name, value]) => ({
      name,
      value,
    })),
    app: { exec: ['/bin/web'], user: '33', group: '33', isolators },
  };
  return {
    path,
    signaturePath: `${path}.asc`,
    id: parseImageId(`sha512-${digit.repeat(128)}`),
    manifest: parseImageManifest(new TextEncoder().encode(JSON.stringify(manifest))),
    sizeBytes: 1,
    tarSizeBytes: 2,
    sha256: digit.repeat(64),
    offeredAs: `example-com-web-${digit.repeat(16)}.aci`,
  };
}

const web = parseAcName('web');
const one = image('build/web.aci', 'a', { version: '1.0' });
const two = image('build/web-2.aci', 'b', { version: '2.0' });

function pod(image: unknown): string {
  return JSON.stringify({ acVersion: '0.8.11', acKind: 'PodManifest', apps: [{ name: 'nginx', image }] });
}

describe('a pod manifest', () => {
  it.each<[string, unknown]>([
    ['a file', 'build/web.aci'],
    ['the name of a file', 'web.aci'],
    ['a name with its version', 'example.com/web:1.0'],
    ['a name with labels', { name: 'example.com/web', labels: [{ name: 'version', value: '1.0' }] }],
    ['an image ID', { id: one.id }],
    ['the beginning of an ID', 'sha512-aaaaaaaa'],
  ])('may name an image by %s, and the signed one has its ID', (_how, reference) => {
    const { pod: reified, images } = reifyPod(web, pod(reference), new OfferedImages([one, two]));
    const [app] = parsePodManifest(reified.manifest).apps;
    expect(app?.image).toEqual({ id: one.id, name: 'example.com/web', labels: one.manifest.labels });
    expect(images).toEqual([one]);
  });

  it('is refused with the faults of all its apps', () => {
    const apps = [{ name: 'a', image: 'other.aci' }, { name: 'b', image: 'web.aci' }, { name: 'c' }];
    expect(() => reifyPod(web, JSON.stringify({ apps }), new OfferedImages([one]))).toThrow(
      /app 1: no image other\.aci was given; .*; pod web, app 3: it names no image/,
    );
  });

  it('has the same bytes for any layout of the file', () => {
    const offered = new OfferedImages([one]);
    const loose = JSON.stringify({ apps: [{ image: 'web.aci', name: 'nginx' }] }, undefined, 4);
    expect(reifyPod(web, loose, offered).pod.manifest).toEqual(
      reifyPod(web, pod('web.aci'), offered).pod.manifest,
    );
  });

  it.each<[string, string, RegExp]>([
    ['an image that was not given', pod('other.aci'), /no image other.aci was given; add it with --image/],
    ['a name that fits several', pod('example.com/web'), /several images fit/],
    ['no image', pod(undefined), /names no image/],
    ['something else than JSON', '{', /is not JSON/],
    ['no apps', '{}', /no "apps"/],
    [
      'a field that the specification does not have',
      '{"apps":[{"name":"nginx","image":"web.aci","imagge":1}]}',
      /imagge/,
    ],
  ])('is refused with %s', (_name, json, problem) => {
    expect(() => reifyPod(web, json, new OfferedImages([one, two]))).toThrow(problem);
  });
});

describe('a pod of one image', () => {
  it('runs the program of the image', () => {
    const manifest = parsePodManifest(simplePod(web, one).pod.manifest);
    expect(manifest.apps).toHaveLength(1);
    expect(manifest.apps[0]?.app).toBeUndefined();
  });

  it('replaces given limits of the image and keeps the others', () => {
    const limited = image('x.aci', 'c', {}, [
      { name: 'resource/memory', value: { limit: '1Gi' } },
      { name: 'os/linux/no-new-privileges', value: true },
    ]);
    const { manifest } = simplePod(web, limited, { memory: '64Mi', cpu: '500m', tasks: '20' }).pod;
    const isolators = parsePodManifest(manifest).apps[0]?.app?.isolators ?? [];
    expect(isolators.map(({ name, value }) => `${name} ${JSON.stringify(value)}`).sort()).toEqual([
      'os/linux/no-new-privileges true',
      'resource/cpu {"limit":"500m"}',
      'resource/memory {"limit":"64Mi"}',
      'wherry/tasks {"limit":"20"}',
    ]);
  });

  it('has the volumes that the image has a mount point for', () => {
    const mountPoints = [{ name: parseAcName('data'), path: '/srv/data', readOnly: true }];
    const { app } = one.manifest;
    if (app === undefined) throw new Error('the image has an app');
    const mounting = { ...one, manifest: { ...one.manifest, app: { ...app, mountPoints } } };
    const volumes = ['data,kind=host,source=/opt/db', 'work,kind=empty,mode=0750'].map(parseVolumeString);
    expect(parsePodManifest(simplePod(web, mounting, {}, volumes).pod.manifest).volumes).toEqual([
      { name: 'data', kind: 'host', source: '/opt/db', readOnly: false, recursive: true },
    ]);
    expect(parsePodManifest(simplePod(web, one, {}, volumes).pod.manifest).volumes).toEqual([]);
  });

  it('is refused when the image has no program', () => {
    const { app, ...bare } = one.manifest;
    expect(() => simplePod(web, { ...one, manifest: bare })).toThrow(/does not say what to run/);
    if (app === undefined) throw new Error('the image has an app');
    const silent = { ...bare, app: { ...app, exec: [] } };
    expect(() => simplePod(web, { ...one, manifest: silent })).toThrow(/does not say what to run/);
  });
});

describe('the images of a deployment', () => {
  it('are listed once each', () => {
    const offered = new OfferedImages([one, two]);
    const pods = [simplePod(web, one), reifyPod(parseAcName('other'), pod('web.aci'), offered)];
    expect(imagesOf(pods, offered)).toEqual([one]);
  });

  it('[A4.14] include their dependencies, in any order of the given images [C39]', () => {
    const base = image('base.aci', 'c');
    const dependencies = [{ imageName: base.manifest.name, imageId: base.id, labels: [] }];
    const app = { ...one, manifest: { ...one.manifest, dependencies } };
    const offered = new OfferedImages([app, two, base]);
    expect(imagesOf([simplePod(web, app)], offered)).toEqual([app, base]);
    expect(() => imagesOf([simplePod(web, app)], new OfferedImages([app]))).toThrow(
      expect.objectContaining({ code: 'image-dependency-missing' }) as Error,
    );
  });

  it('may have path whitelists: a device renders them [C39]', () => {
    const listed = { ...one, manifest: { ...one.manifest, pathWhitelist: ['/bin/web'] } };
    const offered = new OfferedImages([listed]);
    expect(imagesOf([simplePod(web, listed)], offered)).toEqual([listed]);
    expect(offered.renderedBytes(listed)).toBe(listed.tarSizeBytes);
  });

  it('have the size of a rendered tree, so devices can check their space', () => {
    const base = image('base.aci', 'c');
    const dependencies = [{ imageName: base.manifest.name, imageId: base.id, labels: [] }];
    const app = { ...one, manifest: { ...one.manifest, dependencies } };
    expect(new OfferedImages([app, base]).renderedBytes(app)).toBeUndefined();
    const listed = { ...base, manifest: { ...base.manifest, pathWhitelist: ['/bin/web'] } };
    const bytes = app.tarSizeBytes + base.tarSizeBytes;
    expect(new OfferedImages([app, listed]).renderedBytes(app)).toBe(bytes);
    const implying = { ...app, impliesDirectories: true };
    expect(new OfferedImages([implying, base]).renderedBytes(implying)).toBe(bytes);
  });

  it('are refused when a pod is given twice', () => {
    expect(() => imagesOf([simplePod(web, one), simplePod(web, two)], new OfferedImages([]))).toThrow(
      /web is given twice/,
    );
  });
});
