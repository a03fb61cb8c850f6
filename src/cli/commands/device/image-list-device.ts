import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type DeviceState, imageUses, type ImageUse, versionOf } from '../../../device/deploy/index.ts';
import { mountUnit } from '../../../device/pod/index.ts';
import type { Context } from '../../context.ts';
import { deviceStore, openDeviceStore } from '../../../device/local-api/index.ts';
import { formatBytes, formatTable, shortImageId, type Cell } from '../../format.ts';

/** Where images are mounted, as in device/host/places.ts. */
const run = '/run/wherry';

/** `wherry image list --on-device`: what this device's store holds, and what holds it there. */
export async function listStoredImages(
  context: Context,
  options: { readonly store?: string },
): Promise<void> {
  const path = options.store ?? deviceStore;
  const { disk, images, directories, readState } = await openDeviceStore(path);
  const state = await readState();
  const objects = new Map<string, number>();
  for (const id of await images.list()) {
    const entry = await disk.look(images.pathOf(id));
    if (entry !== undefined) objects.set(id, entry.sizeBytes);
  }
  // Units run on this machine only; a card that is mounted here is not of this machine.
  const active = path === deviceStore ? await activeUnits(state) : new Set<string>();
  const mountOf = (id: string): string => mountUnit(id, { directories: { ...directories, run } }).name;
  const uses = imageUses(state, objects, mountOf, (unit) => active.has(unit));
  const { terminal } = context;
  if (context.json) terminal.out(JSON.stringify(uses.map(toJson)));
  else if (uses.length === 0) terminal.out('no image is stored here');
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

function toJson({ id, image, sizeBytes, deployments, pods, lastUse }: ImageUse): object {
  return {
    id,
    name: image?.name ?? null,
    version: (image === undefined ? undefined : versionOf(image)) ?? null,
    sizeBytes: sizeBytes ?? null,
    inUse: lastUse === 'now',
    lastUse: typeof lastUse === 'number' ? timeOf(lastUse) : null,
    deployments,
    pods,
    verity: image?.verity ?? null,
    ...(image !== undefined && 'imageIds' in image ? { renderedOf: image.imageIds } : {}),
  };
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

/** Units of pods' apps that run now. Without systemd, none. */
async function activeUnits({ current, previous }: DeviceState): Promise<ReadonlySet<string>> {
  const units = [...(current?.pods ?? []), ...(previous?.pods ?? [])].flatMap(({ services }) =>
    services.map(({ unit }) => unit),
  );
  if (units.length === 0) return new Set();
  try {
    const { stdout } = await promisify(execFile)('systemctl', [
      'show',
      '--property=Id,ActiveState',
      ...units,
    ]);
    const blocks = stdout.trim().split('\n\n');
    return new Set(
      blocks
        .filter((block) => /^ActiveState=(active|activating|reloading|deactivating)$/m.test(block))
        .map((block) => /^Id=(.*)$/m.exec(block)?.[1] ?? ''),
    );
  } catch {
    return new Set(); // no systemd here: nothing of it runs
  }
}
