import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { buildAci } from '../src/operator/build/builder.ts';
import type { AcIdentifier } from '../src/image/appc/types.ts';
import { parseImageManifest } from '../src/image/appc/image-manifest.ts';
import { payloadRoot } from '../qemu/payload.ts';
import { loadBoardConfig } from '../qemu/index.ts';
import type { BuiltImage, Scene } from '../test/board/scene.ts';

/** Bytes of a file in the image: the mean of the root file systems of distributions. */
const fileBytes = 64 * 1024;
/**
 * A quarter of each file is noise, which cannot be compressed; the rest is words. gzip compresses a
 * file to {@link compressedShare} of its size.
 */
const noiseOneIn = 4;

/**
 * An image of busybox with enough files for a download of about `megabytes`; the same in every run.
 */
export async function bulkImage(scene: Scene, boardName: string, megabytes: number): Promise<BuiltImage> {
  return await imageOf(scene, boardName, `bulk-${megabytes}`, bulkContents(megabytes));
}

/**
 * The contents of files whose compressed size is about `megabytes`; the same in every run.
 */
export function bulkContents(megabytes: number): readonly Buffer[] {
  const text = words();
  const files = Math.round((megabytes * 1e6) / (fileBytes * compressedShare));
  return Array.from({ length: files }, (_, index) => fileContent(text, index));
}

/**
 * An image of 1.07 GB in 256 files, a sixteenth of it noise, the rest zeros: a download of 71 MB.
 * All files have the same content, so it takes 4 MiB of this machine's memory; gzip does not look
 * back that far.
 */
export async function gigabyteImage(scene: Scene, boardName: string): Promise<BuiltImage> {
  const content = Buffer.alloc(4 << 20);
  noiseBytes('gigabyte', content.length / 16).copy(content);
  return await imageOf(scene, boardName, 'gigabyte', Array<Buffer>(256).fill(content));
}

/** An image of a sleeping busybox with files of these contents. */
async function imageOf(
  scene: Scene,
  boardName: string,
  title: string,
  contents: readonly Buffer[],
): Promise<BuiltImage> {
  const { config } = loadBoardConfig(boardName);
  const name = `example.com/${title}` as AcIdentifier;
  const labels = [
    { name: 'version', value: '1.0.0' },
    { name: 'os', value: 'linux' },
    { name: 'arch', value: { amd64: 'amd64', arm64: 'aarch64', armhf: 'armv7l' }[config.arch] },
  ];
  const app = { exec: ['/usr/bin/sleep', '1000000'], user: '0', group: '0' };
  const manifest = parseImageManifest(
    Buffer.from(JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name, labels, app })),
  );
  const path = join(scene.directory, `${title}.aci`);
  const built = await buildAci({
    root: await payloadRoot('busybox', config),
    manifest,
    output: path,
    compression: 'gzip',
    owner: { uid: 0, gid: 0 },
    additions: contents.map((content, index) => ({
      path: `/srv/${Math.floor(index / 64)}/${index}`,
      content,
      mode: 0o644,
    })),
  });
  return await scene.offer(path, { id: built.imageId, name, labels: manifest.labels, ...built });
}

/** The compressed size of a file by gzip; measured. */
const compressedShare = 0.57;

/** A megabyte of made-up words, some of them frequent. */
function words(): Buffer {
  const noise = noiseBytes('words', 600_000);
  const parts: string[] = [];
  for (let at = 0; at + 1 < noise.length; at += 2) {
    const rank = ((noise[at] ?? 0) * (noise[at + 1] ?? 0)) >> 6; // small numbers are more frequent
    const spelling = (Math.imul(rank + 1, 0x9e3779b1) >>> 0).toString(36);
    parts.push(spelling.slice(0, 2 + (rank % 6)));
  }
  return Buffer.from(parts.join(' '));
}

function fileContent(text: Buffer, index: number): Buffer {
  const noise = noiseBytes(`file ${index}`, fileBytes / noiseOneIn);
  const start = noise.readUInt32LE(0) % (text.length - fileBytes);
  const content = Buffer.from(text.subarray(start, start + fileBytes));
  const piece = 1024;
  for (let at = 0; at < noise.length; at += piece) noise.copy(content, at * noiseOneIn, at, at + piece);
  return content;
}

/** Pseudo-random bytes, the same in every run. */
function noiseBytes(seed: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(seed).digest();
}
