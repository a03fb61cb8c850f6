import { parsePodManifest, type PodManifest } from '../../image/appc/index.ts';
import type { DeployedPod } from '../deploy/index.ts';
import {
  compilePod,
  type CompiledPod,
  emptyMounts,
  hostSources,
  type HostFacts,
  judgePath,
  type PlacedApp,
  type PodImage,
} from '../pod/index.ts';
import { type NetworkFacts, refuseSharedPorts } from '../network/index.ts';
import { metadataDocument, metadataUrl, wantsMetadata } from '../metadata/index.ts';
import { podUuid, type DesiredPod, type DesiredState } from '../../wire/trust/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Disk, StoredImage } from '../store/index.ts';
import { readAccounts } from './accounts.ts';
import { type AppImage, appImages, appTree, imageOfApp, ofPod } from './app-trees.ts';
import { readyLimitedVolumes, type LimitedVolumesPorts } from './limited-volumes.ts';
import type { PodFiles } from './pod-files.ts';
import { checkAttachments } from './check-attachments.ts';
import { checkCalendar } from './check-calendar.ts';
import { checkMountTargets } from './mount-targets.ts';
import { checkPrograms, checkWorkingDirectory } from './programs.ts';
import { requireSealed } from './require-sealed.ts';
import { systemCalls } from './system-calls.ts';
import type { ImageMounts } from './image-mounts.ts';

/** Facts and settings of a device that do not depend on the desired state. */
export type DeviceFacts = Omit<HostFacts, 'limits' | 'directories' | 'network'> &
  Required<Pick<HostFacts, 'allow'>>;

export interface StagingPorts {
  readonly disk: Disk;
  readonly files: PodFiles;
  readonly mounts: ImageMounts;
  readonly systemd: LimitedVolumesPorts['systemd'];
  readonly reserveBytes: number;
  readonly directories: HostFacts['directories'];
  readonly host: DeviceFacts;
  /** Networks of the device, as they are now. */
  readonly networks: () => Promise<NetworkFacts>;
  /** Returns the key of the metadata service, which is made if missing. */
  readonly metadataKey: () => Promise<Uint8Array>;
  /** Running pods. A pod that does not change keeps its processes, and so its network. */
  readonly running: readonly DeployedPod[];
  /** As of `World.stage`: whether other pods than `running` may run. */
  readonly isTouched: boolean;
  /** Values of the `arch` label that this device can run, best first. */
  readonly architectures: readonly string[];
}

interface Staged {
  readonly pod: CompiledPod;
  /** Its document of the metadata service. */
  readonly metadata?: string;
}

/**
 * Compiles every pod of `desired` and then writes their files. It mounts images to inspect them.
 * @throws Refusal of the pod class, `image-…`
 */
export async function stagePods(
  desired: DesiredState,
  images: readonly StoredImage[],
  ports: StagingPorts,
): Promise<readonly DeployedPod[]> {
  const listed = appImages(desired, images);
  const compiled: Staged[] = [];
  const network = await ports.networks();
  for (const pod of desired.pods) {
    const secrets = new Map<string, string>(desired.secrets?.map(({ name, digest }) => [name, digest]) ?? []);
    const varying = { limits: desired.policy.limits, network, secrets };
    compiled.push(
      await compile(pod, listed, varying, ports).catch((error: unknown) => {
        throw ofPod(pod.name, error);
      }),
    );
  }
  const pods = compiled.map(({ pod }) => pod);
  refuseSharedPorts(pods.map((pod) => pod.ports));
  if (!ports.isTouched) await checkAttachments(pods, ports);
  await readyLimitedVolumes(pods, ports);
  for (const { pod, metadata } of compiled) await ports.files.write(pod, metadata);
  return compiled.map(
    ({ pod: { name, uuid, slice, services, mounts, timer, isolators, network: attached } }) => ({
      ...(attached === undefined ? {} : { network: attached }),
      ...(timer === undefined ? {} : { timer }),
      name,
      uuid,
      slice,
      services,
      mounts,
      isolators,
    }),
  );
}

async function compile(
  pod: DesiredPod,
  listed: readonly AppImage[],
  varying: {
    readonly limits: HostFacts['limits'];
    readonly network: NetworkFacts;
    readonly secrets: ReadonlyMap<string, string>;
  },
  ports: StagingPorts,
): Promise<Staged> {
  const { architectures, host, directories, disk } = ports;
  const manifest = parsePodManifest(pod.manifest);
  const uuid = podUuid(pod.name, pod.manifest);
  const running = ports.running.find((one) => one.uuid === uuid);
  const images = new Map<string, PodImage>();
  const placed: (PlacedApp & { readonly roots: readonly string[] })[] = [];
  let namesCalls = false;
  for (const app of manifest.apps) {
    const image = imageOfApp(app, pod.name, listed);
    const { manifest: imageManifest } = image;
    const apps = [app.app, imageManifest.app].filter((candidate) => candidate !== undefined);
    const { layers } = appTree(image, listed);
    const roots: string[] = [];
    for (const id of layers) roots.push(await ports.mounts.mount(id));
    images.set(image.id, {
      id: image.id,
      manifest: imageManifest,
      layers,
      ...(await readAccounts(roots, apps)),
    });
    const runs = app.app ?? imageManifest.app;
    if (runs === undefined) continue;
    namesCalls ||= runs.isolators.some(({ name }) => name.startsWith('os/linux/seccomp-'));
    placed.push({ podApp: app, app: runs, roots });
  }
  for (const one of placed) {
    // Volumes of a pod that runs unchanged keep their content.
    const empty = running === undefined ? emptyMounts(one, placed, manifest) : [];
    await checkPrograms({ ...one, architectures, empty });
    await checkWorkingDirectory(one);
    await checkMountTargets(one.roots, one.podApp, one.app, manifest);
  }
  const network = withNetworkOf(running, varying.network);
  const metadata = wantsMetadata(pod.name, manifest);
  const realSources = await followSources(manifest, disk);
  const calls = namesCalls ? await systemCalls() : undefined;
  const compiled = compilePod({
    ...(metadata ? { metadataUrl: metadataUrl(await ports.metadataKey(), uuid) } : {}),
    name: pod.name,
    uuid,
    manifest,
    images,
    host: {
      ...{ ...host, limits: varying.limits, network, directories },
      ...(calls === undefined ? {} : { systemCalls: calls }),
    },
    secrets: varying.secrets,
    realSources,
    diskless: await withoutDisk([directories.pods, ...realSources.values()], disk),
  });
  const over = compiled.calendar === undefined ? [] : await checkCalendar(pod.name, compiled.calendar);
  await requireSealed(compiled, disk, directories.secrets);
  for (const { app, path, readOnly } of compiled.sources) {
    const real = realSources.get(path);
    if (real === undefined) {
      throw new Refusal(
        'pod-volume-invalid',
        `app ${app} of pod ${pod.name} needs ${path}, which is not on this device (ace.md, volume setup)`,
      );
    }
    // The kernel follows links, so their targets must be allowed as well.
    const why = judgePath(real, readOnly, host.allow);
    if (why !== undefined) {
      throw new Refusal(
        'pod-forbidden',
        `pod ${pod.name}, app ${app}: a link in the source ${JSON.stringify(path)} of a volume leads elsewhere: ${why}`,
      );
    }
  }
  return {
    pod: { ...compiled, isolators: [...compiled.isolators, ...over] },
    ...(metadata ? { metadata: metadataDocument(pod.manifest, manifest, images) } : {}),
  };
}

/**
 * Where the kernel finds the sources of host volumes, which may be behind links. systemd does not
 * follow links in `RequiresMountsFor=`.
 */
async function followSources(
  manifest: PodManifest,
  disk: Pick<Disk, 'realPath'>,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const source of hostSources(manifest)) {
    const real = await disk.realPath(source);
    if (real !== undefined) found.set(source, real);
  }
  return found;
}

/** Those of `paths` that are on no block device. */
async function withoutDisk(
  paths: readonly string[],
  disk: Pick<Disk, 'hasBlockDevice'>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const path of paths) if (!(await disk.hasBlockDevice(path))) found.add(path);
  return found;
}

/**
 * The device's default network, which may have changed, applies only to pods that do not run yet.
 */
function withNetworkOf(running: DeployedPod | undefined, facts: NetworkFacts): NetworkFacts {
  if (running === undefined) return facts;
  const whenUnsaid = running.network ?? 'host';
  return whenUnsaid === 'host' && !facts.allowHost ? facts : { ...facts, whenUnsaid };
}
