import {
  type AcIdentifier,
  type ImageManifest,
  isAcIdentifier,
  isTimestamp,
  parseImageManifest,
  sanitizeAcIdentifier,
} from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { ImageConfig } from './documents.ts';
import { runtimeOf } from './runtime.ts';

/** What the manifest of a converted image needs beside its config. */
export interface ManifestFrame {
  readonly name: AcIdentifier;
  readonly tag: string | undefined;
  /** Value of the label `arch`. */
  readonly arch: string;
  /** Labels from the operator, which replace those of the same name. */
  readonly labels: readonly { readonly name: string; readonly value: string }[];
  /** The image's own /etc/passwd and /etc/group, '' where it has none. */
  readonly passwd: string;
  readonly group: string;
}

/**
 * The manifest for the config of an OCI image, and warnings for what it cannot express.
 * @throws Refusal `image-manifest-invalid`
 */
export function manifestOf(
  config: ImageConfig,
  frame: ManifestFrame,
): { readonly manifest: ImageManifest; readonly warnings: readonly string[] } {
  const { name, tag, arch, labels: given } = frame;
  const { app, annotations, warnings } = runtimeOf(config, frame);
  const own = new Set(given.map((label) => label.name));
  const labels = [
    ...(tag === undefined ? [] : [{ name: 'version', value: tag }]),
    { name: 'os', value: 'linux' },
    { name: 'arch', value: arch },
  ].filter((label) => !own.has(label.name));
  const manifest = parseImageManifest(
    Buffer.from(
      JSON.stringify({
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name,
        labels: [...labels, ...given],
        ...(app === undefined ? {} : { app }),
        annotations: annotations.filter((one) => one.name !== 'created' || isTimestamp(one.value)),
      }),
    ),
  );
  return { manifest, warnings };
}

/**
 * The name that an image gets.
 * @param reference what it is called in messages
 * @throws Refusal `usage` when there is none, or when it is not a valid AC Identifier
 */
export function imageName(reference: string, name: string | undefined): AcIdentifier {
  if (name !== undefined && isAcIdentifier(name)) return name;
  const problem =
    name === undefined
      ? 'does not name the image'
      : `calls the image ${JSON.stringify(name)}, which is not a valid AC Identifier`;
  const example = sanitizeAcIdentifier(name ?? '') ?? 'example.com/app';
  throw new Refusal('usage', `${reference} ${problem}; give a --name such as ${example}`);
}
