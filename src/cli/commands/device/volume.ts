import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAcName } from '../../../image/appc/index.ts';
import { reasonOf, Refusal } from '../../../core/refusal/index.ts';
import { places } from '../../../device/host/index.ts';
import { limitedVolumeSuffix } from '../../../device/pod/index.ts';
import type { Context } from '../../context.ts';
import type { VolumeFlags } from '../../flags.ts';
import { formatBytes, formatTable } from '../../format.ts';

/** A volume that outlives its pods. */
interface KeptVolume {
  readonly pod: string;
  readonly volume: string;
  /** Whether a stored pod mounts it: one of a deployment, or one that is not collected yet. */
  readonly inUse: boolean;
  /** The size of its file; absent for a volume without a limit. */
  readonly limitBytes?: number;
  /** Bytes used in it; absent while it is not mounted, and for a volume without a limit. */
  readonly usedBytes?: number;
}

/** Prefix of a volume's name during its removal; no AC Name begins with a dot. */
const removing = '.removing-';

/** `wherry volume list`: the volumes of this device that outlive their pods. */
export async function listVolumes(context: Context, { store = places.state }: VolumeFlags): Promise<void> {
  const volumes = await keptVolumes(store);
  if (context.json) {
    context.terminal.out(JSON.stringify(volumes));
    return;
  }
  const rows = volumes.map(({ pod, volume, inUse, limitBytes, usedBytes }) => [
    ...[pod, volume, inUse ? 'yes' : 'no'],
    ...[limitBytes, usedBytes].map((bytes) => (bytes === undefined ? '-' : formatBytes(bytes))),
  ]);
  context.terminal.out(
    rows.length === 0
      ? 'there is no kept volume on this device'
      : formatTable(context.terminal, ['POD', 'VOLUME', 'IN USE', 'LIMIT', 'USED'], rows),
  );
}

/**
 * `wherry volume rm`: deletes a volume with its content.
 *
 * @throws Refusal `not-found`, `volume-in-use`, `device-unsupported` without the rights
 */
export async function removeVolume(
  context: Context,
  pod: string,
  volume: string,
  { store = places.state }: VolumeFlags,
): Promise<void> {
  const found = (await keptVolumes(store)).find((one) => one.pod === pod && one.volume === volume);
  if (found === undefined) {
    throw new Refusal(
      'not-found',
      `the pod ${JSON.stringify(pod)} has no kept volume ${JSON.stringify(volume)}; see "wherry volume list"`,
    );
  }
  if (found.inUse) {
    throw new Refusal(
      'volume-in-use',
      `a pod ${pod} of the current or the previous deployment has the volume ${volume}; deploy sets without it, then run "wherry gc"`,
    );
  }
  if (found.usedBytes !== undefined) {
    throw new Refusal(
      'volume-in-use',
      `the volume ${volume} of pod ${pod} is still mounted; run "wherry gc", then try again`,
    );
  }
  const directory = join(store, 'volumes', pod);
  const name = `${volume}${found.limitBytes === undefined ? '' : limitedVolumeSuffix}`;
  const doomed = join(directory, `${removing}${name}`);
  try {
    // First what an interrupted removal left. One rename then removes the volume from the list, so
    // a half-deleted one never appears in it.
    await rm(doomed, { recursive: true, force: true });
    await rename(join(directory, name), doomed);
    await rm(doomed, { recursive: true, force: true });
  } catch (cause) {
    throw new Refusal('device-unsupported', `the volume ${volume} cannot be removed: ${reasonOf(cause)}`, {
      cause,
    });
  }
  if (context.json) context.terminal.out(JSON.stringify({ pod, volume }));
}

async function keptVolumes(store: string): Promise<readonly KeptVolume[]> {
  if (!existsSync(`${store}/.`))
    throw new Refusal('not-found', `there is no store in ${store}; run this on a device`);
  const mounted = await mountedSources(join(store, 'pods'));
  const found: KeptVolume[] = [];
  for (const pod of await entries(join(store, 'volumes'))) {
    if (!isAcName(pod)) continue;
    for (const entry of await entries(join(store, 'volumes', pod))) {
      const limited = entry.endsWith(limitedVolumeSuffix);
      const volume = limited ? entry.slice(0, -limitedVolumeSuffix.length) : entry;
      if (!isAcName(volume)) continue;
      const where = `${places.run}/volumes/${pod}/${volume}`;
      const source = limited ? where : `${places.volumes}/${pod}/${volume}`;
      found.push({
        ...{ pod, volume, inUse: mounted.has(source) },
        ...(limited ? await sizesOf(join(store, 'volumes', pod, entry), where) : {}),
      });
    }
  }
  return found.sort((one, other) => (`${one.pod}/${one.volume}` < `${other.pod}/${other.volume}` ? -1 : 1));
}

/** The limit of a volume, and the bytes used in it while it is mounted. */
async function sizesOf(file: string, where: string): Promise<Pick<KeptVolume, 'limitBytes' | 'usedBytes'>> {
  const { size: limitBytes } = await stat(file);
  const [inner, outer] = await Promise.all(
    [where, dirname(where)].map((path) => stat(path).catch(() => undefined)),
  );
  if (inner === undefined || inner.dev === outer?.dev) return { limitBytes };
  const { blocks, bfree, bsize } = await statfs(where);
  return { limitBytes, usedBytes: (blocks - bfree) * bsize };
}

/** The sources that the bundles of all stored pods mount, as paths on the device. */
async function mountedSources(pods: string): Promise<ReadonlySet<string>> {
  const sources = new Set<string>();
  for (const uuid of await entries(pods)) {
    for (const bundle of await entries(join(pods, uuid, 'apps'))) {
      const text = await readFile(join(pods, uuid, 'apps', bundle, 'config.json'), 'utf8').catch(() => '{}');
      const { mounts = [] } = JSON.parse(text) as {
        readonly mounts?: readonly { readonly source?: string }[];
      };
      for (const { source } of mounts) if (source !== undefined) sources.add(source);
    }
  }
  return sources;
}

/** @throws Refusal `device-unsupported` without the rights to read it */
async function entries(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    const { code } = cause as { readonly code?: string };
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw new Refusal('device-unsupported', `${directory} cannot be read; try sudo`, { cause });
  }
}
