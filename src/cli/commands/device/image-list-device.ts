import { type ImageUse, versionOf } from '../../../device/deploy/index.ts';
import { deviceStore, imageSummaries, storedImages } from '../../../device/local-api/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes, formatTable, shortImageId, type Cell } from '../../format.ts';

/** `wherry image list --on-device`: the images in this device's store, and what needs each. */
export async function listStoredImages(
  context: Context,
  options: { readonly store?: string },
): Promise<void> {
  const { terminal } = context;
  const path = options.store ?? deviceStore;
  if (context.json) {
    terminal.out(JSON.stringify(await imageSummaries(path)));
    return;
  }
  const uses = await storedImages(path);
  if (uses.length === 0) terminal.out('no image is stored here');
  else terminal.out(formatTable(terminal, header, uses.map(cells)));
}

const header = ['IMAGE', 'VERSION', 'ID', 'SIZE', 'LAST USE', 'NEEDED BY', 'PODS', 'FS-VERITY'];

function cells({ id, image, sizeBytes, deployments, pods, lastUse }: ImageUse): (Cell | string)[] {
  return [
    image === undefined ? { text: '(unknown)', colour: 'yellow' } : nameOf(image),
    (image === undefined ? undefined : versionOf(image)) ?? '-',
    shortImageId(id),
    sizeBytes === undefined ? { text: 'missing', colour: 'red' } : formatBytes(sizeBytes),
    lastUse === undefined
      ? '-'
      : lastUse === 'now'
        ? 'in use'
        : timeOf(lastUse).replace('T', ' ').slice(0, 16),
    deployments.map(({ which, version }) => `${which} ${version}`).join(', ') || '-',
    pods.join(', ') || '-',
    image?.verity === undefined ? 'no' : 'yes',
  ];
}

function nameOf(image: NonNullable<ImageUse['image']>): string {
  return 'imageIds' in image ? `${image.name} (rendered)` : image.name;
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
