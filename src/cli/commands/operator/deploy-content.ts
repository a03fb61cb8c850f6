import { existsSync } from 'node:fs';
import {
  isAcName,
  parseQuantity,
  parseVolumeString,
  type AcName,
  type Volume,
} from '../../../image/appc/index.ts';
import {
  desiredImage,
  type FleetDirectory,
  imageFiles,
  imagesOf,
  namedSecrets,
  OfferedImages,
  readActivation,
  readImageFile,
  requireImagesUrl,
  requireSignature,
  simplePod,
  type DesiredContent,
  type OfferedImage,
} from '../../../operator/fleet/index.ts';
import { isRefusal, Refusal, refusalAt } from '../../../core/refusal/index.ts';
import type { SecretValue } from '../../../wire/trust/index.ts';
import { findByName } from './image-discover.ts';
import { podFromFile } from './pod-files.ts';
import type { Context } from '../../context.ts';
import type { ContentFlags } from '../../flags.ts';
import { showingWork } from '../../showing-work.ts';

export interface Described {
  readonly content: DesiredContent;
  /** Local images that devices download; offered when nothing can refuse the command any more. */
  readonly toOffer: readonly OfferedImage[];
}

/** The content that the options describe. Reads every image, and requires its signature. */
export function contentFrom(
  context: Context,
  fleet: FleetDirectory,
  flags: ContentFlags,
  values: readonly SecretValue[] = [],
): Promise<Described> {
  return showingWork(context, 'reading the images', (shown) => described(shown, fleet, flags, values));
}

async function described(
  context: Context,
  fleet: FleetDirectory,
  flags: ContentFlags,
  values: readonly SecretValue[],
): Promise<Described> {
  const runs = (flags.run ?? []).map((text) => named(text, '--run'));
  const files = (flags.pod ?? []).map((text) => named(text, '--pod'));
  const activation = readActivation(flags);
  const hasPods = runs.length + files.length > 0;
  if ([hasPods, flags.stopAll === true, flags.withdraw === true].filter(Boolean).length !== 1) {
    throw new Refusal(
      'usage',
      'give one of these: what to run (--run, --pod), --stop-all to run nothing, or --withdraw to leave it to the groups',
    );
  }
  requireQuantities(flags);
  if (flags.baseUrl !== undefined) requireImagesUrl('--base-url', flags.baseUrl);
  const wanted = runs.map(({ value }) => value);
  const { images, addresses } = await givenImages(context, fleet, flags, wanted);
  const offered = new OfferedImages(images);
  const limits = {
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.cpu === undefined ? {} : { cpu: flags.cpu }),
    ...(flags.tasks === undefined ? {} : { tasks: flags.tasks }),
  };
  const simple = runs.map(({ name, value }) => ({ name, image: offered.find(value, `--run ${name}`) }));
  const volumes = volumesFor(
    simple.map(({ image }) => image),
    flags.volume ?? [],
  );
  const network = networkFor(flags);
  const settings = { network, secrets: values.map(({ name }) => name) };
  const pods = simple.map(({ name, image }) => simplePod(name, image, limits, volumes, settings));
  for (const { name, value } of files) pods.push(await podFromFile(name, value, offered));
  const used = imagesOf(pods, offered);
  const ofApps = new Set(pods.flatMap((pod) => pod.images.map(({ id }) => id)));
  const local = used.filter(({ id }) => !addresses.has(id));
  for (const image of local) await requireSignature(image);
  const content = {
    pods: pods.map(({ pod }) => pod),
    images: used.map((image) =>
      desiredImage(
        image,
        addresses.get(image.id) ?? [fleet.imageUrl(image, flags.baseUrl)],
        ofApps.has(image.id) ? offered.renderedBytes(image) : undefined,
      ),
    ),
    policy: {
      ...(flags.probation === undefined ? {} : { probationSeconds: flags.probation }),
      ...(flags.bestEffort === undefined ? {} : { limits: 'best-effort' as const }),
      ...(activation === undefined ? {} : { activation }),
      ...(flags.brokerLoss === undefined ? {} : { brokerLoss: flags.brokerLoss }),
    },
    secrets: namedSecrets(values),
    ...(flags.withdraw === true ? { withdrawn: true as const } : {}),
  };
  return { content, toOffer: local };
}

/** @throws Refusal `usage` */
function requireQuantities({ memory, cpu, tasks }: ContentFlags): void {
  for (const [option, text, example] of [
    ['--memory', memory, '64Mi'],
    ['--cpu', cpu, '500m'],
    ['--tasks', tasks, '32'],
  ] as const) {
    try {
      if (text !== undefined) parseQuantity(text);
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      const problem = `${option} takes a quantity such as ${example}, not ${JSON.stringify(text)}`;
      throw new Refusal('usage', problem, { cause });
    }
  }
}

/** @throws Refusal `input-invalid` that names the option */
function volumeOf(text: string): Volume {
  try {
    return parseVolumeString(text);
  } catch (error) {
    throw refusalAt(`--volume ${JSON.stringify(text)}`, error);
  }
}

/**
 * @throws Refusal `input-invalid` for an invalid volume, one that is given twice, or one without a
 *   mount point
 */
function volumesFor(images: readonly OfferedImage[], texts: readonly string[]): readonly Volume[] {
  const points = new Set(
    images.flatMap(({ manifest }) => manifest.app?.mountPoints ?? []).map(({ name }) => name),
  );
  const volumes = new Map<string, Volume>();
  for (const text of texts) {
    const volume = volumeOf(text);
    const { name } = volume;
    if (volumes.has(name)) throw new Refusal('input-invalid', `the volume ${name} is given twice`);
    if (!points.has(name))
      throw new Refusal('input-invalid', `no image of a --run pod has a mount point for the volume ${name}`);
    volumes.set(name, volume);
  }
  return [...volumes.values()];
}

/** @throws Refusal `usage` when no pod would get it, `input-invalid` for an invalid name */
function networkFor({ network, run = [] }: ContentFlags): AcName | undefined {
  if (network === undefined) return undefined;
  if (run.length === 0) {
    const advice = 'a pod manifest names its network with the annotation wherry/network';
    throw new Refusal('usage', `--network is for --run pods; ${advice}`);
  }
  if (!isAcName(network)) {
    throw new Refusal(
      'input-invalid',
      `--network takes host, none, bridge or the name of a network of the device; ${JSON.stringify(network)} cannot be one`,
    );
  }
  return network;
}

/**
 * The images that `--image` and `--run` name, and the addresses of those on a web server: devices
 * download these from there.
 */
async function givenImages(
  context: Context,
  fleet: FleetDirectory,
  flags: ContentFlags,
  runs: readonly string[],
): Promise<{ images: readonly OfferedImage[]; addresses: ReadonlyMap<string, readonly string[]> }> {
  const images: OfferedImage[] = [];
  const addresses = new Map<string, readonly string[]>();
  for (const wanted of new Set([...(flags.image ?? []), ...runs])) {
    const files = await imageFiles(wanted);
    if (files[0] !== wanted) {
      // Not every image of a directory is used. contentFrom requires signatures of those that are.
      for (const file of files) images.push(await readImageFile(file));
      continue;
    }
    const found = existsSync(wanted) ? undefined : await findByName(context, fleet, wanted, flags);
    if (found !== undefined) addresses.set(found.image.id, found.urls);
    const image = found === undefined ? await readImageFile(wanted) : { ...found.image, path: wanted };
    if (found === undefined) await requireSignature(image);
    images.push(image);
  }
  return { images, addresses };
}

function named(text: string, option: string): { readonly name: AcName; readonly value: string } {
  const [, name = '', value = ''] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  if (!isAcName(name) || value === '') {
    throw new Refusal(
      'usage',
      `${option} takes NAME=FILE with a name of lower-case words and dashes, not ${JSON.stringify(text)}`,
    );
  }
  return { name, value };
}
