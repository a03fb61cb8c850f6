import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { defaultArchiveLimits } from '../../src/image/tar/limits.ts';
import { readArchive } from '../../src/image/aci/read-archive.ts';
import type { ImageFile } from '../../src/operator/build/render.ts';
import type { ImageManifest } from '../../src/image/appc/types.ts';
import { parseImageId } from '../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { type RawEntry, source, tar } from './raw-tar.ts';

/**
 * An archive, and the tree of the object that a device builds from it, as a directory like a mount.
 */
export interface TestImage extends ImageFile {
  readonly directory: string;
  readonly tarSizeBytes: number;
  readonly impliesDirectories: boolean;
}

/**
 * An image of raw entries below `rootfs`, whose `rootfs/` must be among them. They belong to the
 * user of the test, so tar can set their owner without root.
 */
export async function mountedImage(
  home: string,
  manifest: Readonly<Record<string, unknown>>,
  entries: readonly RawEntry[],
): Promise<TestImage> {
  const text = JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', ...manifest });
  const bytes = tar({ name: 'manifest', body: text }, ...entries.map(mine));
  const id = parseImageId(`sha512-${createHash('sha512').update(bytes).digest('hex')}`);
  const path = join(home, `${id.slice(0, 19)}.aci`);
  writeFileSync(path, bytes);
  const directory = join(home, 'images', id);
  mkdirSync(directory, { recursive: true });
  const canonicalTar = new PassThrough();
  const collected = collect(canonicalTar);
  const { impliesDirectories } = await readArchive(source(bytes), {
    limits: defaultArchiveLimits,
    canonicalTar,
  });
  execFileSync('tar', ['-xp', '--xattrs', '--xattrs-include=user.*', '-C', directory], {
    input: await collected,
  });
  const read: ImageManifest = parseImageManifest(Buffer.from(text));
  return {
    ...{ id, path, directory, manifest: read, impliesDirectories },
    sizeBytes: bytes.length,
    tarSizeBytes: bytes.length,
  };
}

/** The whole content of a stream. */
export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** With the owner and group of this process. */
function mine(entry: RawEntry): RawEntry {
  const octal = (value: number) => value.toString(8).padStart(7, '0');
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  return {
    ...entry,
    patch: [[108, octal(uid)], [116, octal(gid)], ...(entry.patch ?? [])],
  };
}
