import { Refusal } from '../../core/refusal/index.ts';

const nameOfImage = 'org.opencontainers.image.ref.name';

/**
 * The index of a layout older than image-spec 1.0.0-rc5, which has no index.json but a file for
 * each name below refs/, with the descriptor of a manifest (image-layout.md of 1.0.0-rc4). "acbuild
 * begin --build-mode=oci" 0.4 writes such a layout (containers/build#292).
 *
 * @param refs contents of the files, by name
 * @param what names the layout
 */
export function indexOfRefs(refs: ReadonlyMap<string, Uint8Array>, what: string): Buffer {
  const manifests = [...refs].map(([name, bytes]) => {
    const descriptor = objectIn(bytes);
    if (descriptor === undefined)
      throw new Refusal('input-invalid', `${what}, refs/${name}: it is not a JSON object`);
    return { ...descriptor, annotations: { [nameOfImage]: name } };
  });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
}

function objectIn(bytes: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
