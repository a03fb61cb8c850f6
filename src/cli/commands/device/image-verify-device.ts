import { constants, setPriority } from 'node:os';
import { type DeviceState, imageUses, type ImageUse } from '../../../device/deploy/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { StoredObject } from '../../../device/store/index.ts';
import type { Context } from '../../context.ts';
import { type DeviceStore, deviceStore, openDeviceStore } from '../../../device/local-api/index.ts';
import { formatBytes, shortImageId } from '../../format.ts';
import { drawnOver } from '../../terminal.ts';

/** The result for one object. */
interface Outcome {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  /** Whether the kernel's fs-verity digest was compared, too. */
  readonly sealed: boolean;
  readonly ok: boolean;
  readonly message?: string;
}

/**
 * `wherry image verify --on-device`: reads every byte of every object, or of those named, and
 * compares them with the digests that the device recorded when it stored them. It runs in its own
 * process at low priority, without wherryd.
 *
 * @param named names, image IDs or the beginnings of IDs; none: all
 * @throws Refusal `image-corrupt` when an object differs from its record, after all were read;
 *   `not-found`
 */
export async function verifyStoredImages(
  context: Context,
  named: readonly string[],
  options: { readonly store?: string },
): Promise<void> {
  const store = await openDeviceStore(options.store ?? deviceStore);
  setPriority(constants.priority.PRIORITY_LOW);
  const targets = chosen(await storedUses(store, await store.readState()), named);
  const outcomes: Outcome[] = [];
  for (const { id } of targets) {
    context.terminal.stop.throwIfAborted();
    const outcome = await verifyOne(context, store, id);
    if (outcome === undefined) continue;
    outcomes.push(outcome);
    if (!context.json) context.terminal.out(outcomeLine(outcome));
  }
  if (context.json) context.terminal.out(JSON.stringify(outcomes));
  const corrupt = outcomes.filter(({ ok }) => !ok);
  if (corrupt.length === 0) return;
  const paths = corrupt.map(({ id }) => store.images.pathOf(id)).join(' ');
  throw new Refusal(
    'image-corrupt',
    `${corrupt.length} of ${outcomes.length} stored objects are not what was verified. Check the disk; then "rm ${paths}" and ` +
      '"systemctl restart wherryd": it pulls what the running version needs again',
  );
}

async function storedUses(store: DeviceStore, state: DeviceState): Promise<readonly ImageUse[]> {
  const objects = new Map<string, number>();
  for (const id of await store.images.list()) {
    objects.set(id, (await store.disk.look(store.images.pathOf(id)))?.sizeBytes ?? 0);
  }
  return imageUses(
    state,
    objects,
    () => '',
    () => false,
  ).filter(({ image }) => image !== undefined);
}

function chosen(uses: readonly ImageUse[], named: readonly string[]): readonly ImageUse[] {
  if (named.length === 0) return uses;
  const isMeant = ({ id, image }: ImageUse, name: string): boolean =>
    image?.name === name || (name.length >= 12 && id.startsWith(name));
  for (const name of named) {
    if (!uses.some((use) => isMeant(use, name)))
      throw new Refusal(
        'not-found',
        `no image ${name} is stored here; "wherry image list --on-device" shows all`,
      );
  }
  return uses.filter((use) => named.some((name) => isMeant(use, name)));
}

/** Undefined when the image was collected while others were read. */
async function verifyOne(context: Context, store: DeviceStore, id: string): Promise<Outcome | undefined> {
  let image = find(await store.readState(), id);
  for (;;) {
    if (image === undefined) return undefined;
    const expected = image;
    const refusal = await withProgress(context, expected, (onRead) =>
      store.images.verifyFully(expected, onRead),
    );
    if (refusal === undefined) return outcomeOf(image);
    // wherryd may have replaced or collected it meanwhile: then the record was of another object.
    const state = await store.readState();
    const now = find(state, id);
    if (now !== undefined && (now.sha256 !== image.sha256 || now.verity !== image.verity)) {
      image = now;
      continue;
    }
    const [use] = (await storedUses(store, state)).filter((one) => one.id === id);
    return use === undefined ? undefined : outcomeOf(image, refusal.message);
  }
}

function find(state: DeviceState, id: string): StoredObject | undefined {
  return [...state.images, ...(state.trees ?? [])].find((image) => image.id === id);
}

function outcomeOf(image: StoredObject, message?: string): Outcome {
  const { id, name, sizeBytes, verity } = image;
  return {
    id,
    name,
    sizeBytes,
    sealed: verity !== undefined,
    ok: message === undefined,
    ...(message === undefined ? {} : { message }),
  };
}

function outcomeLine({ id, name, sizeBytes, sealed, ok, message }: Outcome): string {
  const what = `${name} ${shortImageId(id)}`;
  if (!ok) return `${what}: image-corrupt: ${message ?? ''}`;
  return `${what}: ok, ${formatBytes(sizeBytes)} read${sealed ? ', sealed' : ''}`;
}

/**
 * Shows the progress on a terminal while an object is read, in a line that is cleared at the end.
 */
async function withProgress<T>(
  { terminal }: Context,
  { name, sizeBytes }: StoredObject,
  read: (onRead: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const line = (text: string): void => {
    if (terminal.isLive) terminal.err(drawnOver(text));
  };
  let readBytes = 0;
  let shown = -1;
  try {
    return await read((bytes) => {
      readBytes += bytes;
      const percent = Math.floor((100 * readBytes) / Math.max(1, sizeBytes));
      if (percent === shown) return;
      shown = percent;
      line(`${name}  ${formatBytes(readBytes)} of ${formatBytes(sizeBytes)}  ${percent} %`);
    });
  } finally {
    line('');
  }
}
