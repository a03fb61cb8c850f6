import { basename, extname } from 'node:path';
import {
  isAcName,
  labelValue,
  type PodManifest,
  parsePodManifest,
  sanitizeAcName,
} from '../../../image/appc/index.ts';
import { refuseSharedPorts } from '../../../device/network/index.ts';
import { compilePod, type CompiledPod, type PodImage, resolveMounts } from '../../../device/pod/index.ts';
import { wantsMetadata } from '../../../device/metadata/index.ts';
import { checkCalendar, systemCalls } from '../../../device/world/index.ts';
import {
  imageFiles,
  OfferedImages,
  type OfferedImage,
  readImageFile,
} from '../../../operator/fleet/index.ts';
import { podUuid } from '../../../wire/trust/index.ts';
import { isRefusal, Refusal } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import type { PodValidateFlags } from '../../flags.ts';
import { modelHost, modelImage } from './model-device.ts';
import { podFromFile } from './pod-files.ts';

/**
 * `wherry pod validate`: reads a pod manifest or a Kubernetes Pod as `wherry deploy` does and
 * compiles it as a device does. What only a device can know (its networks, host paths, free ports,
 * the programs of images) is not checked. Schedules and names of system calls are checked by
 * systemd, if that is on this machine.
 *
 * @throws Refusal with the code that a device or `wherry deploy` would give
 */
export async function validatePod(context: Context, file: string, flags: PodValidateFlags): Promise<void> {
  const name = nameFor(file, flags.name);
  const images: OfferedImage[] = [];
  for (const path of flags.image ?? []) {
    for (const one of await imageFiles(path)) images.push(await readImageFile(one));
  }
  const offered = new OfferedImages(images);
  const { pod, images: used } = await podFromFile(name, file, offered);
  const manifest = parsePodManifest(pod.manifest);
  const models = new Map<string, PodImage>();
  for (const image of used) models.set(image.id, await modelImage(image, offered.withDependencies(image)));
  const arch = used.map(({ manifest: { labels } }) => labelValue(labels, 'arch')).find(Boolean);
  const calls = await systemCalls();
  const model = modelHost(flags.bestEffort === true ? 'best-effort' : 'require', manifest, arch);
  const compiled = compilePod({
    name,
    uuid: podUuid(name, pod.manifest),
    manifest,
    images: models,
    host: calls === undefined ? model : { ...model, systemCalls: calls },
    secrets: new Map(secretNames(manifest, models).map((secret) => [secret, '0'.repeat(64)])),
    ...(wantsMetadata(name, manifest) ? { metadataUrl: 'http://127.0.0.1:18112/token' } : {}),
  });
  refuseSharedPorts([compiled.ports]);
  const isolators = [...compiled.isolators, ...(await endedSchedule(compiled))];
  show(context, file, { ...compiled, isolators }, unmountedVolumes(manifest, models));
}

/** What a device would report about calendar expressions that do not occur again. */
async function endedSchedule({ name, calendar }: CompiledPod): Promise<CompiledPod['isolators']> {
  if (calendar === undefined) return [];
  try {
    return await checkCalendar(name, calendar);
  } catch (error) {
    if (isRefusal(error) && error.code === 'device-unsupported') return []; // no systemd here
    throw error;
  }
}

/** Volumes of the pod that no app mounts. A device makes none of them, not even one to be kept. */
function unmountedVolumes(manifest: PodManifest, images: ReadonlyMap<string, PodImage>): readonly string[] {
  const mounted = manifest.apps.flatMap((podApp) => {
    const app = podApp.app ?? images.get(podApp.image.id)?.manifest.app;
    return app === undefined ? [] : resolveMounts(podApp, app, manifest).map(({ volume }) => volume.name);
  });
  return manifest.volumes.map(({ name }) => name).filter((name) => !mounted.includes(name));
}

function show(
  { json, terminal }: Context,
  file: string,
  compiled: CompiledPod,
  unmounted: readonly string[],
): void {
  const { name, uuid, services, isolators, network = 'host' } = compiled;
  const apps = services.map(({ app, imageId }) => ({ app, imageId }));
  if (json) {
    terminal.out(JSON.stringify({ file, pod: name, uuid, network, apps, isolators, unmounted }));
    return;
  }
  const count = apps.length === 1 ? 'one app' : `${apps.length} apps`;
  terminal.out(`${file}: valid, pod ${name} with ${count} in the network ${network}`);
  for (const { app, name: isolator, outcome, detail } of isolators) {
    if (outcome === 'enforced') continue;
    terminal.out(`  note: ${app === '' ? 'the pod' : `app ${app}`}: ${isolator} is ${outcome}: ${detail}`);
  }
  for (const volume of unmounted) {
    terminal.out(`  note: volume ${volume}: no app mounts it, so a device does not make it`);
  }
}

/** The operator names a pod when it is deployed; for a check, the name of the file is enough. */
function nameFor(file: string, given: string | undefined): ReturnType<typeof podName> {
  return podName(given ?? sanitizeAcName(basename(file, extname(file))) ?? 'pod');
}

function podName(text: string) {
  if (isAcName(text)) return text;
  throw new Refusal('usage', `${JSON.stringify(text)} is not a name of lower-case words and dashes`);
}

/** The secrets that its apps use. Each is assumed to be deployed. */
function secretNames(manifest: PodManifest, images: ReadonlyMap<string, PodImage>): readonly string[] {
  return manifest.apps
    .flatMap(({ annotations, image }) => [annotations, images.get(image.id)?.manifest.annotations ?? []])
    .flatMap((annotations) => labelValue(annotations, 'wherry/secrets')?.split(' ') ?? [])
    .map((use) => use.split(':')[0] ?? '');
}
