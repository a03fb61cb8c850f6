import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import type { BlobSource } from '../../../src/operator/oci/blobs.ts';
import { findManifest } from '../../../src/operator/oci/manifest-choice.ts';

const refName = 'org.opencontainers.image.ref.name';
const containerdName = 'io.containerd.image.name';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';

/** Documents of a layout, by digest. */
class Layout {
  readonly blobs = new Map<string, Buffer>();

  add(document: object): { digest: string; size: number } {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    this.blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  /** A manifest, told from others by the size of its config. */
  manifest(mark: number, { layers = 1, mediaType = configType, layer = {} } = {}) {
    const config = { mediaType, digest: `sha256:${'a'.repeat(64)}`, size: mark };
    const one = { mediaType: layerType, digest: `sha256:${'b'.repeat(64)}`, size: 1, ...layer };
    return {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      ...this.add({ schemaVersion: 2, config, layers: Array.from({ length: layers }, () => one) }),
    };
  }

  index(...manifests: object[]) {
    return {
      mediaType: 'application/vnd.oci.image.index.v1+json',
      ...this.add({ schemaVersion: 2, manifests }),
    };
  }

  source({ digest }: { readonly digest: string }, more: Partial<BlobSource> = {}): BlobSource {
    const bytes = this.blobs.get(digest) ?? Buffer.alloc(0);
    return {
      reference: 'app.tar',
      root: () => Promise.resolve({ bytes, what: 'app.tar: the index' }),
      open: (wanted) => Promise.resolve(Readable.from([this.blobs.get(wanted) ?? Buffer.alloc(0)])),
      close: () => Promise.resolve(),
      ...more,
    };
  }
}

const named = (descriptor: object, annotations: Record<string, string>, more: object = {}) => ({
  ...descriptor,
  ...{ annotations, ...more },
});
const found = async (source: BlobSource) => {
  const { document, ...rest } = await findManifest(source, undefined, defaultArchiveLimits);
  return { mark: document.config.sizeBytes, ...rest };
};

describe('the manifest of an image', () => {
  it('is found through four indexes, and not through five', async () => {
    const layout = new Layout();
    const nested = (depth: number) => {
      let inner: { mediaType: string; digest: string; size: number } = layout.manifest(7);
      for (let level = 0; level < depth; level++) inner = layout.index(inner);
      return layout.source(inner);
    };
    expect((await found(nested(4))).mark).toBe(7);
    await expect(found(nested(5))).rejects.toThrow('its indexes lie more than 4 deep in one another');
  });

  it('is named by the outermost index only', async () => {
    const layout = new Layout();
    const inner = layout.index(
      named(layout.manifest(7), { [refName]: 'inner' }, { platform: { os: 'linux', architecture: 'arm64' } }),
    );
    const source = layout.source(layout.index(named(inner, { [refName]: 'outer' })), { wanted: 'outer' });
    expect(await found(source)).toMatchObject({ mark: 7, tag: 'outer' });
  });

  it('has the platform of the innermost index that gives one', async () => {
    const layout = new Layout();
    const platform = { os: 'linux', architecture: 'arm64' };
    const inner = layout.index(layout.manifest(7));
    expect(await found(layout.source(layout.index({ ...inner, platform })))).toMatchObject({
      platform: { architecture: 'arm64' },
    });
  });

  it.each<[string, Record<string, string>, object]>([
    ['a tag', { [refName]: '1.0' }, { tag: '1.0' }],
    ['a whole name', { [refName]: 'example.com/app:1.0' }, { name: 'example.com/app', tag: '1.0' }],
    [
      'a whole name beside a tag',
      { [refName]: '1.0', [containerdName]: 'example.com/app:1.0' },
      { name: 'example.com/app', tag: '1.0' },
    ],
  ])('gets its name from %s', async (_what, annotations, expected) => {
    const layout = new Layout();
    const source = layout.source(layout.index(named(layout.manifest(7), annotations)));
    expect(await found(source)).toEqual({ mark: 7, ...expected });
  });

  it('is none of the documents of another kind', async () => {
    const layout = new Layout();
    const other = { ...layout.manifest(1), artifactType: 'application/vnd.example.signature' };
    const unknown = { ...layout.manifest(2), platform: { os: 'unknown', architecture: 'unknown' } };
    const image = { ...layout.manifest(3), artifactType: configType };
    expect((await found(layout.source(layout.index(other, unknown, image)))).mark).toBe(3);
    await expect(found(layout.source(layout.index(other, unknown)))).rejects.toThrow(
      'its index names only attestations and other attachments',
    );
  });

  it('is chosen by name among named images, and by digest among all', async () => {
    const layout = new Layout();
    const image = named(layout.manifest(1), { [refName]: 'app' });
    const nameless = layout.manifest(2);
    const index = layout.index(image, nameless);
    expect((await found(layout.source(index))).mark).toBe(1);
    expect((await found(layout.source(index, { wanted: nameless.digest }))).mark).toBe(2);
    const alone = layout.index(nameless, layout.manifest(4));
    expect((await found(layout.source(alone, { wanted: nameless.digest }))).mark).toBe(2);
  });

  it('has at most 512 layers', async () => {
    const layout = new Layout();
    expect((await found(layout.source(layout.manifest(7, { layers: 512 })))).mark).toBe(7);
    await expect(found(layout.source(layout.manifest(7, { layers: 513 })))).rejects.toThrow(
      '/layers has 513 members, at most 512 are allowed',
    );
  });

  it.each([
    [
      'a chart',
      { mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      '/config/mediaType is "application/vnd.cncf.helm.config.v1+json", not the config of an image',
    ],
    [
      'an encrypted layer',
      { layer: { mediaType: `${layerType}+encrypted` } },
      '/layers/0/mediaType is "application/vnd.oci.image.layer.v1.tar+encrypted": the layer is encrypted',
    ],
    [
      'a layer that is too large',
      { layer: { size: defaultArchiveLimits.maxTarBytes + 1 } },
      'allow more with --max-unpacked',
    ],
  ])('is refused with %s', async (_what, members, message) => {
    const layout = new Layout();
    await expect(found(layout.source(layout.manifest(7, members)))).rejects.toThrow(message);
  });
});
