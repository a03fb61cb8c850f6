import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { inDirectory } from '../../core/files/index.ts';
import { readArchive } from '../../image/aci/index.ts';
import { defaultArchiveLimits } from '../../image/tar/index.ts';
import { sanitizeAcName, type ImageId, type ImageManifest } from '../../image/appc/index.ts';
import { asLocalRefusal, isRefusal, Refusal, refusalAt } from '../../core/refusal/index.ts';
import { statImage, writeOutput } from '../build/index.ts';

/** An `.aci` file that was read completely, with what a desired state needs of it. */
export interface OfferedImage {
  readonly path: string;
  /** The detached signature beside it; may not exist. */
  readonly signaturePath: string;
  readonly id: ImageId;
  readonly manifest: ImageManifest;
  readonly sizeBytes: number;
  readonly tarSizeBytes: number;
  readonly impliesDirectories?: boolean;
  /** SHA-256 of the file, lower-case hex. */
  readonly sha256: string;
  /**
   * File name under which it is offered. It is derived from name and content, so the bytes at an
   * address never change.
   */
  readonly offeredAs: string;
}

/**
 * Reads an image as strictly as a device will.
 * @throws Refusal `not-found`, or what a device would answer: `archive-…`, `image-manifest-…`
 */
export async function readImageFile(path: string): Promise<OfferedImage> {
  const { size: sizeBytes } = await statImage(path);
  const digest = createHash('sha256');
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(path)) {
      digest.update(chunk as Buffer);
      yield chunk as Buffer;
    }
  }
  try {
    const { imageId, manifest, tarSizeBytes, impliesDirectories } = await readArchive(bytes(), {
      limits: defaultArchiveLimits,
    });
    const sha256 = digest.digest('hex');
    return {
      path,
      signaturePath: `${path}.asc`,
      id: imageId,
      manifest,
      sizeBytes,
      tarSizeBytes,
      impliesDirectories,
      sha256,
      offeredAs: `${sanitizeAcName(manifest.name) ?? 'image'}-${sha256.slice(0, 16)}.aci`,
    };
  } catch (error) {
    throw isRefusal(error) ? refusalAt(path, error) : asLocalRefusal(error, path);
  }
}

/**
 * The image files that an operator selects: `path` itself, or the images in it, sorted by name,
 * when it is a directory.
 * @throws Refusal `not-found` for a directory without any
 */
export async function imageFiles(path: string): Promise<readonly string[]> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isDirectory() !== true) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith('.aci')).sort();
  if (names.length === 0) throw new Refusal('not-found', `there is no .aci file in the directory ${path}`);
  return names.map((name) => join(path, name));
}

/** @throws Refusal `image-signature-missing`, with advice */
export async function requireSignature(image: Pick<OfferedImage, 'path' | 'signaturePath'>): Promise<void> {
  try {
    await stat(image.signaturePath);
  } catch (cause) {
    const advice = `sign it with "wherry image sign ${image.path}"`;
    throw new Refusal('image-signature-missing', `${image.path} has no signature beside it; ${advice}`, {
      cause,
    });
  }
}

/**
 * Copies signed images to the directory that the image server offers, under names derived from
 * their bytes: all or none. They take their names after `store`, and not if that fails.
 */
export async function offerImages(
  directory: string,
  images: readonly OfferedImage[],
  store: () => Promise<void>,
): Promise<void> {
  const files = images.flatMap(({ path, signaturePath, offeredAs }) => [
    { from: path, to: join(directory, offeredAs), isSignature: false },
    { from: signaturePath, to: join(directory, `${offeredAs}.asc`), isSignature: true },
  ]);
  const copy = async ([file, ...others]: typeof files): Promise<void> => {
    if (file === undefined) {
      await store();
      return;
    }
    const { from, to, isSignature } = file;
    if (resolve(from) === to || (!isSignature && existsSync(to))) await copy(others);
    else await writeOutput(to, (path) => copyFile(from, path).then(() => copy(others)));
  };
  await inDirectory(directory, () => copy(files));
}
