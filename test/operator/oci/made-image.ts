import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A document with the errors that a test needs. */
export type Json = Record<string, unknown>;

export const digestOf = (bytes: Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export interface MadeBlob extends Json {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/**
 * An OCI image written document by document, so tests can contain what no tool would write.
 * Independent of src/operator/oci.
 */
export class MadeImage {
  readonly blobs = new Map<string, Buffer>();
  index: Json = {};

  /** A blob that matches its descriptor. */
  blob(content: Uint8Array | Json, mediaType: string): MadeBlob {
    const bytes = content instanceof Uint8Array ? Buffer.from(content) : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  layer(bytes: Uint8Array, mediaType = 'application/vnd.oci.image.layer.v1.tar'): MadeBlob {
    return this.blob(bytes, mediaType);
  }

  config(diffIds: readonly string[], changes: Json = {}): MadeBlob {
    return this.blob(
      {
        os: 'linux',
        architecture: 'arm64',
        config: { Cmd: ['/x'] },
        rootfs: { type: 'layers', diff_ids: diffIds },
        ...changes,
      },
      'application/vnd.oci.image.config.v1+json',
    );
  }

  manifest(config: Json, layers: readonly Json[], changes: Json = {}): MadeBlob {
    return this.blob(
      { schemaVersion: 2, config, layers, ...changes },
      'application/vnd.oci.image.manifest.v1+json',
    );
  }

  /** The document that refers to all others. */
  root(...manifests: readonly Json[]): this {
    this.index = { schemaVersion: 2, manifests };
    return this;
  }

  /** Writes the image as a layout in a new directory. */
  write(directory: string): string {
    mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
    writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(join(directory, 'index.json'), JSON.stringify(this.index));
    for (const [digest, bytes] of this.blobs)
      writeFileSync(join(directory, 'blobs', ...digest.split(':')), bytes);
    return directory;
  }
}

/** A complete image of plain layers. */
export function madeImage(...tars: readonly Uint8Array[]): MadeImage {
  const made = new MadeImage();
  const layers = tars.map((bytes) => made.layer(bytes));
  return made.root(made.manifest(made.config(tars.map(digestOf)), layers));
}
