import { systemClock, systemRandom } from '../../core/ports/index.ts';
import { judgeLabel, readCgroupFile, readPodAddresses, readSmallFile } from '../host/index.ts';
import { pullImage } from '../jobs/pull/index.ts';
import { renderInUnit } from '../jobs/render/index.ts';
import {
  askProbe,
  DeviceWorld,
  metadataKey,
  PodFiles,
  PodWatch,
  type ProbationBroker,
  ProbeWatch,
  readNetworkFacts,
} from '../world/index.ts';
import { pullInTime } from './clock-floor.ts';
import { holdOf } from './hold.ts';
import { lastOutputOf } from './last-output.ts';
import type { OpenedDevice } from './open-device.ts';
import { requireSecret } from './require-secret.ts';

/** The limit for one image, and for all images of one rendered tree. */
const maxEntries = 100_000;
/** Header, PAX header and its usual records. */
const maxHeaderBytes = 2048;

/** What changes while wherryd runs. */
export interface LiveFacts {
  /**
   * Digests of the secrets of the message that is being examined or was examined last: its
   * deployment is not saved yet.
   */
  readonly sealed: ReadonlySet<string>;
  readonly broker: Omit<ProbationBroker, 'bootSpreadMs'>;
}

/** Pods and images of the device, and the watch over its pods. */
export function makeWorld(
  device: OpenedDevice,
  live: LiveFacts,
): { readonly world: DeviceWorld; readonly watch: PodWatch } {
  const { journal, places, config, disk, systemd, host, store, owner, trust, now, seals } = device;
  const readAddresses = (network: string, uuid: string) => readPodAddresses(places.run, network, uuid);
  const asking = { systemd, readAddresses, readFile: readSmallFile };
  const probes = new ProbeWatch({
    ...{ systemd, clock: systemClock, journal },
    ask: (probe, pod) => askProbe(probe, pod, asking),
  });
  const watch = new PodWatch({ systemd, readCgroupFile, readAddresses, probes });
  const world = new DeviceWorld({
    systemd,
    disk,
    store,
    clock: systemClock,
    journal,
    watch,
    files: new PodFiles(disk, { ...places, mounts: `${places.run}/images` }),
    directories: places,
    host: { ...host, crunPath: places.crun, allow: config.allow, judgeLabel },
    networks: () => readNetworkFacts(disk, places, config.network),
    metadataKey: () => metadataKey(disk, places, systemRandom, journal),
    architectures: host.architectures,
    unsavedSecrets: live.sealed,
    whyWait: holdOf(places, host.bootId, now, systemClock),
    broker: { ...live.broker, bootSpreadMs: config.broker.bootSpreadSeconds * 1000 },
    lastOutput: lastOutputOf(config.remoteLogPods),
    reserveBytes: config.limits.reserveBytes,
    compression: config.store.compression,
    pull: async (image, onProgress, pullSignal) => {
      await requireSecret(places.credentials);
      const signers = trust.image(image.name);
      const job = {
        image,
        ...signers,
        copies: trust.copies(),
        architectures: host.architectures,
        limits: {
          maxTarBytes: config.limits.maxImageBytes,
          maxEntries,
          maxRatio: 200,
          minBytesPerSecond: config.limits.minBytesPerSecond,
          maxBytesPerSecond: config.download.maxBytesPerSecond,
        },
        compression: config.store.compression,
        ...(seals ? { seals: true as const } : {}),
        ...(config.download.proxy === undefined ? {} : { proxy: config.download.proxy }),
      };
      const ports = { systemd, disk, store, clock: systemClock, places, owner };
      const pull = async () => await pullImage({ ...job, time: await now() }, ports, onProgress, pullSignal);
      return await pullInTime(pull, device.raiseClock);
    },
    render: (rendering, renderSignal) =>
      renderInUnit(
        rendering,
        {
          ...{ systemd, disk, store, owner, partial: places.partial },
          // An image that is read from its object may have longer headers than its archive had.
          limits: { maxTarBytes: config.limits.maxImageBytes + maxEntries * maxHeaderBytes, maxEntries },
          compression: config.store.compression,
        },
        renderSignal,
      ),
  });
  return { world, watch };
}
