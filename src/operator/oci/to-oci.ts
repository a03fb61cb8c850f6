import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { defaultArchiveLimits, BatchedSink, TarWriter } from '../../image/tar/index.ts';
import { readArchive } from '../../image/aci/index.ts';
import { readInput, statImage, withScratch, writeOutput } from '../build/index.ts';
import { labelValue, serializeImageManifest, type ImageManifest } from '../../image/appc/index.ts';
import { localErrorOf, Refusal, refusalAt } from '../../core/refusal/index.ts';
import { lostSettings } from './lost-settings.ts';
import { ociPlatform } from './platform.ts';
import { configOf, type AppDraft } from './runtime.ts';

export interface ToOciOptions {
  readonly file: string;
  /** A directory to make, or a file whose name ends in `.tar`. */
  readonly output: string;
  /** The tag in the layout's index; the label `version`, or `latest`. */
  readonly tag?: string;
}

export interface WrittenOciImage {
  /** Of the image's manifest. */
  readonly digest: string;
  readonly tag: string;
  /** What an OCI image cannot express, in words. */
  readonly warnings: readonly string[];
}

/**
 * Writes an App Container Image as an OCI layout with one layer. An image with dependencies, or
 * whose user is the owner of a file, is refused.
 * @throws Refusal `not-found`, `archive-…`, `image-…`, `input-invalid` when the output exists
 *   already
 */
export async function toOci(options: ToOciOptions): Promise<WrittenOciImage> {
  const { output } = options;
  if (/\.(tgz|tar\.[a-z0-9]+)$/i.test(output)) {
    throw new Refusal(
      'input-invalid',
      `${output} would be a directory: name a file that ends in .tar, and compress it afterwards`,
    );
  }
  const isThere = await stat(output).then(
    () => true,
    () => false,
  );
  if (isThere) throw new Refusal('input-invalid', `${output} is there already`);
  await statImage(options.file);
  return await withScratch(output, async (scratch) => {
    // The scratch directory is for this user only; the output gets the usual permissions.
    const layout = join(scratch, 'layout');
    const written = await writeLayout(options, layout);
    if (output.endsWith('.tar')) await writeOutput(output, (path) => packDirectory(layout, path));
    else await rename(layout, output);
    return written;
  });
}

async function writeLayout(options: ToOciOptions, layout: string): Promise<WrittenOciImage> {
  const blobs = join(layout, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const { manifest, layer, diffId } = await writeLayer(options.file, blobs);
  if (manifest.dependencies.length + manifest.pathWhitelist.length > 0) {
    throw new Refusal(
      'input-invalid',
      `${options.file} has dependencies or a path whitelist, which OCI images do not have; convert the output of "wherry image render"`,
    );
  }
  const owner = [manifest.app?.user, manifest.app?.group].find((name) => name?.startsWith('/') === true);
  if (owner !== undefined) {
    throw new Refusal(
      'input-invalid',
      `${options.file} runs as the owner of ${owner}, which an OCI image cannot; name user and group with "wherry image patch"`,
    );
  }
  const config = await writeBlob(
    blobs,
    'application/vnd.oci.image.config.v1+json',
    configDocument(manifest, diffId),
  );
  const image = await writeBlob(blobs, 'application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers: [layer],
  });
  const tag = options.tag ?? labelValue(manifest.labels, 'version') ?? 'latest';
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...image, annotations }] }),
  );
  return { digest: image.digest, tag, warnings: lostSettings(manifest) };
}

interface BlobDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The files of the archive, without `rootfs/` in their names and without the manifest. */
async function writeLayer(
  file: string,
  blobs: string,
): Promise<{ manifest: ImageManifest; layer: BlobDescriptor; diffId: string }> {
  const tar = new PassThrough({ highWaterMark: 1 << 20 });
  const uncompressed = createHash('sha256');
  const compressed = createHash('sha256');
  const path = join(blobs, 'layer');
  const writing = pipeline(
    hashing(tar, uncompressed),
    createGzip(),
    (gzip) => hashing(gzip, compressed),
    createWriteStream(path),
  );
  writing.catch(() => undefined); // reported below, or by the writer
  const sink = new BatchedSink(tar, 'the layer');
  const writer = new TarWriter(sink);
  try {
    const { manifest } = await readArchive(readInput(file), {
      limits: defaultArchiveLimits,
      onEntry: async (entry, body) => {
        if (entry.path === 'manifest') return;
        const target = entry.type === 'link' ? entry.target.slice('rootfs/'.length) : entry.target;
        await writer.entry({ ...entry, target, path: entry.path.slice('rootfs/'.length) || '.' });
        if (entry.sizeBytes > 0) for await (const chunk of body) await writer.body(chunk);
      },
    });
    await writer.end();
    await sink.end();
    await writing;
    const digest = compressed.digest('hex');
    await rename(path, join(blobs, digest));
    const { size } = await stat(join(blobs, digest));
    const layer = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: `sha256:${digest}`,
      size,
    };
    return { manifest, layer, diffId: `sha256:${uncompressed.digest('hex')}` };
  } catch (error) {
    sink.destroy();
    const failure = await writing.catch((cause: unknown) => cause);
    if (localErrorOf(failure) !== undefined) throw failure;
    if (localErrorOf(error) !== undefined) throw error;
    throw refusalAt(file, error);
  }
}

async function* hashing(source: AsyncIterable<unknown>, hash: Hash): AsyncGenerator<Buffer, void> {
  for await (const chunk of source) {
    hash.update(chunk as Buffer);
    yield chunk as Buffer;
  }
}

function configDocument(manifest: ImageManifest, diffId: string): object {
  const annotation = (name: string) => labelValue(manifest.annotations, name);
  const platform = ociPlatform(
    labelValue(manifest.labels, 'os') ?? 'linux',
    labelValue(manifest.labels, 'arch') ?? 'amd64',
  );
  if (platform === undefined) {
    throw new Refusal(
      'image-arch-mismatch',
      `OCI has no name for the architecture ${labelValue(manifest.labels, 'arch') ?? ''}`,
    );
  }
  const { os, architecture, variant } = platform;
  const created = annotation('created');
  const author = annotation('authors');
  const { app } = JSON.parse(new TextDecoder().decode(serializeImageManifest(manifest))) as {
    app?: Partial<AppDraft>;
  };
  const draft: AppDraft | undefined =
    app === undefined || manifest.app === undefined
      ? undefined
      : {
          ...manifest.app,
          mountPoints: manifest.app.mountPoints,
          ports: manifest.app.ports,
          ...(app.userAnnotations === undefined ? {} : { userAnnotations: app.userAnnotations }),
        };
  return {
    ...(created === undefined ? {} : { created }),
    ...(author === undefined ? {} : { author }),
    architecture,
    ...(variant === '' ? {} : { variant }),
    os,
    ...(draft === undefined ? {} : { config: configOf(draft, annotation) }),
    rootfs: { type: 'layers', diff_ids: [diffId] },
  };
}

async function writeBlob(blobs: string, mediaType: string, document: object): Promise<BlobDescriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(blobs, digest), bytes);
  return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
}

/** Packs the layout into one file; the same layout gives the same file. */
async function packDirectory(directory: string, output: string): Promise<void> {
  const archive = pack();
  const writing = pipeline(archive, createWriteStream(output));
  writing.catch(() => undefined);
  const names = (await readdir(directory, { recursive: true, encoding: 'utf8' })).sort();
  const packing = (async () => {
    for (const name of names) {
      const path = join(directory, name);
      const status = await stat(path);
      const header = { name, mtime: new Date(0), mode: status.isDirectory() ? 0o755 : 0o644 };
      if (status.isDirectory()) archive.entry({ ...header, type: 'directory' });
      else await pipeline(createReadStream(path), archive.entry({ ...header, size: status.size }));
    }
    archive.finalize();
  })();
  // The file first: when it cannot be written, its error has the reason, and that of the packing
  // only that the stream was closed.
  await Promise.all([writing, packing]);
}
